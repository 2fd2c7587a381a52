"""The gRPC services and the loops that run on their own."""
