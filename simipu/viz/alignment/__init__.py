"""Whether the calibration and the timing of a store hold."""
