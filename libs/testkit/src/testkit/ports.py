"""A port for a test to listen on."""

from embedded_stack.ports import free_ports


def free_port() -> int:
    """Return a free port of the loopback address. If the server accepts port 0, prefer that."""
    return free_ports(1)[0]
