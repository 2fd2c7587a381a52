"""A port for a test to listen on."""

from embedded_stack.ports import free_ports


def free_port() -> int:
    """Return a port of the loopback address that was free just now; prefer port 0 where a server takes it."""
    return free_ports(1)[0]
