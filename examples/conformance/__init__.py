"""A worker with the handlers of the conformance test."""
