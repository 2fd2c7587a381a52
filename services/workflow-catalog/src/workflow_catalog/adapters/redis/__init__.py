"""The catalog's cache in Redis."""
