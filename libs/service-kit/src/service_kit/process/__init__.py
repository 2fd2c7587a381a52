"""A service as a process: settings, command line, logs, metrics, health."""
