"""A Redis-compatible server for each xdist worker, emptied between tests.

The product's keys and channels have fixed names. A logical database for each test would separate the keys,
but all logical databases share channels, scripts and statistics. So every xdist worker has a separate process
(it starts in 30 ms), and is cleaned before each test.
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
    """Run a separate server. A test may kill it and start it again (empty, as after a crash)."""
    with temporary_server_directory() as directory:
        server = Valkey(prepare_layout(directory, find_binaries()), free_ports(1)[0], durable=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def clean(server: Valkey) -> None:
    """Cut the connections of earlier tests and remove their data. If a test ended the server, start it."""
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        replies = connection.makefile("rb")
        for command in _CLEANING:
            connection.sendall(f"{command}\r\n".encode())
            reply = replies.readline()
            if reply.startswith(b"-"):
                raise RuntimeError(f"{command}: {reply.decode().strip()}")
