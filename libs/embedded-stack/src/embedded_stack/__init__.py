"""PostgreSQL 18, its replica and Valkey from wheels, and a supervisor of the services."""

from embedded_stack.errors import PortTakenError, StackError
from embedded_stack.servers import DATABASE, Addresses, Servers

__all__ = ["DATABASE", "Addresses", "PortTakenError", "Servers", "StackError"]
