"""The duties of every replica: timers, repair, expiry, metrics and readiness."""
