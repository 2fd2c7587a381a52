"""Seconds and datetimes as the contracts have them."""

from __future__ import annotations

from datetime import datetime

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from workflow_sdk.errors import InvalidRequestError, Violation


def duration(seconds: float) -> Duration:
    """The seconds as a Duration, rounded to nanoseconds."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def seconds(message: Duration) -> float:
    """The Duration in seconds."""
    return message.ToNanoseconds() / 1e9


def timestamp(field: str, time: datetime | None) -> Timestamp | None:
    """Return the time as a Timestamp; None stays None.

    Raises InvalidRequestError if the time has no time zone: it would name another moment on each machine.
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
    message.FromDatetime(time)
    return message
