"""How callers wait for executions and ask about them."""
