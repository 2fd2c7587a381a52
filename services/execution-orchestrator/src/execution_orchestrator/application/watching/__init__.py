"""Callers that wait for executions, or ask what is in use."""
