"""What every replica does again and again: timers, repair, expiry, health."""
