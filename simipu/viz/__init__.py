"""What a store holds, and what a training made of it, for the eye: pictures, report, viewer."""
