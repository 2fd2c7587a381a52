"""The catalog's ports in memory, for tests of the application."""
