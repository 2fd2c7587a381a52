"""A Redis-compatible server per xdist worker, emptied between tests.

The product's keys and channels have fixed names. A logical database per test would keep the keys apart, but
pub/sub channels, scripts and statistics are shared by all logical databases; so every xdist worker has a
process of its own (it starts in 30 ms), and before each test whatever earlier tests left there is removed.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from embedded_stack.binaries import find_binaries
from embedded_stack.layout import prepare_layout
from embedded_stack.ports import free_ports
from embedded_stack.valkey import Valkey

from testkit.directories import temporary_server_directory

_CLEANING = (
    "CLIENT KILL TYPE normal SKIPME yes",
    "CLIENT KILL TYPE pubsub SKIPME yes",
    "FLUSHALL",
    "SCRIPT FLUSH",
    "CONFIG RESETSTAT",
)


@contextmanager
def run_redis() -> Iterator[Valkey]:
    """Run a server of one's own: it may be killed, and started again (empty, as after a crash)."""
    with temporary_server_directory() as directory:
        server = Valkey(prepare_layout(directory, find_binaries()), free_ports(1)[0], durable=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def clean(server: Valkey) -> None:
    """Cut the connections of earlier tests and remove all they left; start the server if a test ended it."""
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        replies = connection.makefile("rb")
        for command in _CLEANING:
            connection.sendall(f"{command}\r\n".encode())
            reply = replies.readline()
            if reply.startswith(b"-"):
                raise RuntimeError(f"{command}: {reply.decode().strip()}")
