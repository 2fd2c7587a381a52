"""Seconds and datetimes, to and from the messages of the contract."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from workflow_sdk.errors import InvalidRequestError, Violation

MAX_SECONDS = 315_576_000_000
"""About 10,000 years, in either direction: the range of `google.protobuf.Duration`."""


def duration(seconds: float) -> Duration:
    """Return the seconds as a Duration, rounded to nanoseconds. Raise ValueError outside of its range."""
    if not math.isfinite(seconds) or abs(seconds) > MAX_SECONDS:
        raise ValueError(
            f"a duration of {seconds} s cannot be sent: give a number of seconds between"
            f" -{MAX_SECONDS:,} and {MAX_SECONDS:,}"
        )
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def seconds(message: Duration) -> float:
    """Return the Duration in seconds."""
    return message.ToNanoseconds() / 1e9


def timestamp(field: str, time: datetime | None) -> Timestamp | None:
    """Return the time as a Timestamp; None stays None.

    Raises InvalidRequestError if the time has no time zone, because it would name another moment on each
    machine. Raises it also if the time is not between the years 1 and 9999 in UTC.
    """
    if time is None:
        return None
    if time.utcoffset() is None:
        advice = "use datetime.now(UTC), or time.astimezone() for a local time"
        problem = f"{field} must have a time zone, but is {time.isoformat()} without one: {advice}"
        raise InvalidRequestError(
            problem, code=grpc.StatusCode.INVALID_ARGUMENT, violations=[Violation(field, "has no time zone")]
        )
    message = Timestamp()
    try:
        message.FromDatetime(time.astimezone(UTC))
    except OverflowError:
        problem = f"{field} must be between the years 1 and 9999 in UTC, but is {time.isoformat()}"
        violation = Violation(field, "is not between the years 1 and 9999 in UTC")
        raise InvalidRequestError(
            problem, code=grpc.StatusCode.INVALID_ARGUMENT, violations=[violation]
        ) from None
    return message


def to_datetime(message: Any, field: str) -> datetime | None:
    """Return a field of type Timestamp as a datetime in UTC; None if it is not set."""
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(tzinfo=UTC)
