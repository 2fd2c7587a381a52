"""Seconds and datetimes as the contracts have them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

LONGEST_SECONDS = 315_576_000_000
"""About 10,000 years, in either direction: the range of `google.protobuf.Duration`."""


def duration(seconds: float) -> Duration:
    """Return the seconds as a Duration, rounded to nanoseconds. Raise ValueError outside of its range."""
    if not math.isfinite(seconds) or abs(seconds) > LONGEST_SECONDS:
        raise ValueError(
            f"a duration of {seconds} s cannot be sent: give a number of seconds between"
            f" -{LONGEST_SECONDS:,} and {LONGEST_SECONDS:,}"
        )
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def seconds(message: Duration) -> float:
    """The Duration in seconds."""
    return message.ToNanoseconds() / 1e9


def timestamp(time: datetime | None) -> Timestamp | None:
    """Return the time as a Timestamp; None stays None.

    Raise ValueError for a datetime without a time zone: nobody can know which moment it means.
    """
    if time is None:
        return None
    if time.utcoffset() is None:
        raise ValueError(
            f"the time {time.isoformat()} has no time zone: give one, as `datetime.now(UTC)` or"
            " `time.astimezone()` do"
        )
    message = Timestamp()
    try:
        message.FromDatetime(time.astimezone(UTC))
    except OverflowError:
        raise ValueError(
            f"the time {time.isoformat()} cannot be sent: give one between the years 1 and 9999 in UTC"
        ) from None
    return message
