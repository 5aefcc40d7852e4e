"""Training: configuration, loop, checkpoints, logs and retrieval on held-out frames."""
