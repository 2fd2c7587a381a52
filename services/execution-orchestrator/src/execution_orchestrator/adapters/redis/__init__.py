"""The ports to Redis: the queue, locks, the doorbell and the boards."""
