"""A driving world that is computed, written in the official on-disk formats, with exact truth."""
