"""How fresh a read must be, and the token that lets a caller read his own writes from a replica."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service_kit.errors import FIELD_INVALID, FieldViolation, invalid_argument

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, slots=True)
class ReadConsistency:
    """EVENTUAL (the replica), STRONG (the primary), or `at_least(token)` (whichever has that commit)."""

    strong: bool = False
    lsn: int | None = None


EVENTUAL = ReadConsistency()
STRONG = ReadConsistency(strong=True)


def at_least(token: str) -> ReadConsistency:
    """Reads that see the commit whose consistency token this is; INVALID_ARGUMENT for what is none."""
    try:
        return ReadConsistency(lsn=parse_lsn(token))
    except ValueError:
        violation = FieldViolation("read_consistency.consistency_token", "is not a consistency token")
        message = "the consistency token is damaged: pass on what a mutation returned, or leave it out"
        raise invalid_argument(FIELD_INVALID, message, violation) from None


def parse_lsn(text: str) -> int:
    """A position in the write-ahead log, from PostgreSQL's text (`16/B374D848`) to a number of bytes."""
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"not a log sequence number: {text!r}")
    return (int(match[1], 16) << 32) | int(match[2], 16)
