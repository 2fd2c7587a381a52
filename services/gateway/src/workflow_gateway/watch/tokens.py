"""Resume tokens: the position at which a watch continues, readable by every gateway.

A token is base64url without padding of 29 bytes: version (1), execution id (16), sequence (8), CRC-32 of
these (4). The checksum detects damage. It is not a secret, because a token permits no more than the id does.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

VERSION = 1
MAX_SEQUENCE = 2**63 - 1

_BODY = struct.Struct(">B16sQ")
_CHECKSUM = struct.Struct(">I")
_TOKEN_BYTES = _BODY.size + _CHECKSUM.size


class InvalidTokenError(ValueError):
    """The text is not a token of a gateway, or is damaged."""


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """The watcher has received every event of the execution up to `sequence`; 0 means none."""

    execution_id: UUID
    sequence: int


def encode(token: ResumeToken) -> str:
    """Return the token as text of 39 characters that are safe in URLs."""
    body = _BODY.pack(VERSION, token.execution_id.bytes, token.sequence)
    raw = body + _CHECKSUM.pack(zlib.crc32(body))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> ResumeToken:
    """Return the token of a text that `encode` made. Raise InvalidTokenError for other texts."""
    raw = _bytes_of(text)
    body = raw[: _BODY.size]
    if len(raw) != _TOKEN_BYTES or _CHECKSUM.pack(zlib.crc32(body)) != raw[_BODY.size :]:
        raise InvalidTokenError("damaged")
    version, execution_id, sequence = _BODY.unpack(body)
    if version != VERSION or sequence > MAX_SEQUENCE:
        raise InvalidTokenError(f"of version {version}, which this gateway does not know")
    token = ResumeToken(UUID(bytes=execution_id), sequence)
    if encode(token) != text:
        raise InvalidTokenError("not in the form that a gateway returned")
    return token


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTokenError("not base64url") from None
