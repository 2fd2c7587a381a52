"""The duties of every replica: timers, repair, expiry, and what tells its health."""
