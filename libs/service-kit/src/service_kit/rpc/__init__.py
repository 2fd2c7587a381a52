"""gRPC servers and channels: calls, errors, pages, limits."""
