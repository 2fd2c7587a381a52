"""How an execution is accepted."""
