"""Messages between a worker and its child processes: a small JSON header, and a payload passed on as it is.

4 bytes  length of the header, big endian
4 bytes  length of the payload
header   JSON object; "kind" says what it is
payload  JSON bytes of an input, an output or progress; may be empty

to the child    setup (once: sys.path, the main module), run (the task; payload: input)
from the child  ready, heartbeat (payload: progress), succeeded (payload: output), failed, cancelled
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTHS = struct.Struct(">II")
NO_PROGRESS = b""


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One message."""
    encoded = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(encoded), len(payload)) + encoded + payload


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message, for the child's side, which has nothing else to do. Raises EOFError at the end."""
    header_length, payload_length = LENGTHS.unpack(_exactly(connection, LENGTHS.size))
    header = json.loads(_exactly(connection, header_length))
    return header, _exactly(connection, payload_length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
