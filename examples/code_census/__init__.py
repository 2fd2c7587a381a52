"""Counts the code of a Python source tree: a fan-out over hundreds of tasks that do real work."""
