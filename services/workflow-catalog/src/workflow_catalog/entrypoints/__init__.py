"""The gRPC entry point: the servicer, and its translation of messages and errors."""
