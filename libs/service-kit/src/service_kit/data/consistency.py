"""How fresh a read must be, and the token that lets callers read their own writes from a replica.

A token names a position in the write-ahead log of one PostgreSQL server. It is text of 49 characters:

    characters  1        8 hex     16 hex   16 hex              8 hex
    meaning     version  timeline  LSN      system identifier   checksum of the other fields

To callers it is opaque, with one promise of the contract: of two tokens of a service, the greater text is
the newer one. So the fields have fixed lengths, and the timeline comes before the LSN: a failover, and a
restore to an earlier point, begin a new timeline. A release with another format uses a greater version and
keeps the checksum.
"""

from __future__ import annotations

import enum
import re
import zlib
from dataclasses import dataclass
from typing import Any

from service_kit.errors import FIELD_INVALID, FieldViolation, invalid_argument

VERSION = "1"
_CHECKSUM_CHARS = 8
_FORMAT = re.compile(r"1([0-9a-f]{8})([0-9a-f]{16})([0-9a-f]{16})", re.ASCII)
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII)
_64_BITS = 0xFFFF_FFFF_FFFF_FFFF

# A commit has flushed its record, so ask for the flush position. The insert position may lie after a page
# header, which no replica replays. Reading the system identifier takes the server 9 microseconds, and any
# role may do it.
_PRIMARY_POSITION = """
SELECT system_identifier AS system, pg_current_wal_flush_lsn()::text AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int AS timeline
FROM pg_control_system()"""


class Progress(enum.Enum):
    """The progress of a server to a wanted position."""

    REACHED = enum.auto()
    BEHIND = enum.auto()
    """The server may reach it."""
    ELSEWHERE = enum.auto()
    """The server follows another log, or an older timeline: the two numbers cannot be compared."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A position in the write-ahead log of one server."""

    system: int
    """The system identifier. `initdb` draws it; replicas and restored copies keep it."""
    timeline: int
    """1 for a new server; one more after each promotion and each restore to a point in time."""
    lsn: int
    """The number of bytes from the beginning of the log."""

    def progress_to(self, wanted: LogPosition) -> Progress:
        """Return whether a server at this position has the commits before `wanted`.

        After a failover the log goes on at the same LSN, so a position of an older timeline is still reached.
        A server on an older timeline than `wanted` may follow a branch that was given up.
        """
        if self.system != wanted.system or self.timeline < wanted.timeline:
            return Progress.ELSEWHERE
        return Progress.REACHED if self.lsn >= wanted.lsn else Progress.BEHIND


@dataclass(frozen=True, slots=True)
class ReadConsistency:
    """EVENTUAL (the replica), STRONG (the primary), or `at_least(token)` (whichever has that commit)."""

    strong: bool = False
    position: LogPosition | None = None


EVENTUAL = ReadConsistency()
STRONG = ReadConsistency(strong=True)


def at_least(token: str) -> ReadConsistency:
    """Return the consistency of a read that sees the commit of this token.

    For a token of a newer release, return STRONG: during an update, its replicas and ours serve the same
    callers. Raise ServiceError INVALID_ARGUMENT if the text is not a token.
    """
    try:
        position = decode(token)
    except ValueError:
        field = "read_consistency.consistency_token"
        violation = FieldViolation(field, "is not a consistency token", FIELD_INVALID)
        message = (
            f"{field} is not a consistency token of this service: send the unchanged token of"
            " the last mutation, or leave it out"
        )
        raise invalid_argument(FIELD_INVALID, message, violation) from None
    return STRONG if position is None else ReadConsistency(position=position)


def encode(position: LogPosition) -> str:
    """Return the token of a position."""
    text = f"{VERSION}{position.timeline:08x}{position.lsn:016x}{position.system:016x}"
    return text + _checksum(text)


def decode(token: str) -> LogPosition | None:
    """Return the position of a token; None if a newer release made it. Raise ValueError for other texts."""
    text, checksum = token[:-_CHECKSUM_CHARS], token[-_CHECKSUM_CHARS:]
    if not text or not token.isascii() or checksum != _checksum(text) or text[0] < VERSION:
        raise ValueError(f"not a consistency token: {token!r}")
    if text[0] > VERSION:
        return None
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a consistency token: {token!r}")
    timeline, lsn, system = (int(field, 16) for field in match.groups())
    return LogPosition(system, timeline, lsn)


async def position_of(primary: Any) -> LogPosition:
    """Return a position after every commit so far. This takes one round trip to the primary.

    Raise an asyncpg error if the connection fails, or does not lead to a primary. May be repeated.
    """
    return position_from(await primary.fetchrow(_PRIMARY_POSITION))


async def token_of(primary: Any) -> str:
    """Return a token for every commit so far, as `position_of` does. Call it after the commit."""
    return encode(await position_of(primary))


def position_from(row: Any) -> LogPosition:
    """Return the position in a row with `system`, `timeline` and `lsn`, as a replica's state has them."""
    system = row["system"] & _64_BITS  # PostgreSQL shows it as a signed number
    return LogPosition(system, row["timeline"], parse_lsn(row["lsn"]))


def parse_lsn(text: str) -> int:
    """Return a position in PostgreSQL's text (`16/B374D848`) as a number of bytes."""
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"not a log sequence number: {text!r}")
    return (int(match[1], 16) << 32) | int(match[2], 16)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
