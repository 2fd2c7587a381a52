"""Sessions of workers: what they get, and what they report."""
