"""Ports to listen on: find free ones, or raise an error that names the setting to change."""

import socket
from contextlib import ExitStack

from embedded_stack.errors import PortTakenError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free now. Another program may still take one of them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def require_free(port: int, variable: str) -> None:
    """Raise PortTakenError if the port is taken; `variable` is the name of its setting."""
    if not is_free(port):
        raise PortTakenError(port, variable)


def first_free(start: int, taken: set[int]) -> int:
    """Return the first port from `start` upwards that is free and not in `taken`. Raise PortTakenError."""
    for port in range(start, min(start + 1000, 65536)):
        if port not in taken and is_free(port):
            return port
    raise PortTakenError(start, "WORKFLOW_WORKER_PORT")
