"""Pictures of what a store holds, drawn with Pillow alone."""
