"""How callers come in: gRPC."""
