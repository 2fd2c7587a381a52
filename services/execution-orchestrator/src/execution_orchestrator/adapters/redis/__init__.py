"""Hints, locks and doorbells. Wiping Redis costs delay, never work."""
