"""The deployable worker: the SDK's runtime, the built-in handlers, health and metrics."""
