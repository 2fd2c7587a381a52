"""The catalog in memory: what tests of the application run on."""
