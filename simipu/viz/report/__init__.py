"""A page in HTML over a whole store."""
