"""The use cases of callers, and the ports to databases and caches."""
