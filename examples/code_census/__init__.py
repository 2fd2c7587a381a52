"""Counts the code of a Python source tree: a fan-out of real work over hundreds of tasks."""
