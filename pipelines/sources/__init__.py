"""Readers of data sets on disk, one per module; each is a `Source`."""
