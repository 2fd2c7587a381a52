"""The rules of the catalog, as pure functions: they do no I/O and read no clock."""
