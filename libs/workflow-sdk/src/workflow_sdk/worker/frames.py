"""The frames between a worker and its child processes.

A frame has a head of fixed size, a JSON object, and a payload that is passed on as it is:

    4 bytes  MAGIC
    1 byte   kind, see `Kind`
    4 bytes  the process id of the sender
    8 bytes  the run of the frame: each child counts its runs from 1; 0 is its start
    4 bytes  length of the header
    4 bytes  length of the payload
    header   a JSON object; empty for most kinds
    payload  JSON bytes of an input, an output or progress; may be empty

All numbers are big endian. A reader refuses everything else: other bytes, another sender, a frame that is too
long. Then it can't know where the next frame begins, so it gives the connection up.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MAGIC = b"WFc1"
HEAD = struct.Struct(">4sBIQII")
MAX_HEADER_BYTES = 1024 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
"""More than any payload that the service accepts."""


class Kind(IntEnum):
    """The kind of a frame."""

    SETUP = 1
    """To the child, once: how to import what the worker can import."""
    RUN = 2
    """To the child: run a handler. The payload is its input."""
    READY = 3
    """From the child: it has started."""
    HEARTBEAT = 4
    """From the child: the handler is alive. The payload is its progress, or empty."""
    SUCCEEDED = 5
    """From the child: the handler returned. The payload is its output."""
    FAILED = 6
    """From the child: the handler failed, or the child could not start. The header is the failure."""
    CANCELLED = 7
    """From the child: the handler stopped because the worker asked for it."""


_KINDS = frozenset(Kind)


class UnreadableFrameError(Exception):
    """The data is not a frame of the peer. The text says what is wrong, and quotes no data."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of a frame, with the lengths of the others."""

    kind: Kind
    run: int
    header_bytes: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame."""

    kind: Kind
    run: int
    header: dict[str, Any]
    payload: bytes


def pack(
    kind: Kind, sender: int, run: int, header: dict[str, Any] | None = None, payload: bytes = b""
) -> bytes:
    """Return the bytes of a frame. Raise ValueError if it is larger than a reader accepts."""
    encoded = json.dumps(header, separators=(",", ":")).encode() if header else b""
    if len(encoded) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"a frame may not have a header of {len(encoded)} and a payload of {len(payload)} bytes"
        )
    return HEAD.pack(MAGIC, kind, sender, run, len(encoded), len(payload)) + encoded + payload


def read_head(data: bytes, sender: int, max_payload: int = MAX_PAYLOAD_BYTES) -> Head:
    """Read the head of a frame from `sender`. Raise UnreadableFrameError if it is anything else."""
    magic, kind, pid, run, header_bytes, payload_bytes = HEAD.unpack(data)
    if magic != MAGIC or kind not in _KINDS:
        raise UnreadableFrameError("the data does not begin as a message does")
    if pid != sender:
        raise UnreadableFrameError(f"process {pid} wrote it, but the connection belongs to process {sender}")
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > max_payload:
        raise UnreadableFrameError(
            f"a message has a header of {header_bytes} and a payload of {payload_bytes} bytes;"
            f" {MAX_HEADER_BYTES} and {max_payload} are allowed"
        )
    return Head(Kind(kind), run, header_bytes, payload_bytes)


def read_header(data: bytes) -> dict[str, Any]:
    """Read the header of a frame. Raise UnreadableFrameError if it is not a JSON object."""
    if not data:
        return {}
    try:
        header = json.loads(data)
    except (ValueError, RecursionError):  # their texts and arguments may quote the data
        header = None
    if not isinstance(header, dict):
        raise UnreadableFrameError("the header of a message is not a JSON object")
    return header
