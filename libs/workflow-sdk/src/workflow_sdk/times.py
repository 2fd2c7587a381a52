"""Seconds and datetimes as the contracts have them."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def duration(seconds: float) -> Duration:
    """The seconds as a Duration, rounded to nanoseconds."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def seconds(message: Duration) -> float:
    """The Duration in seconds."""
    return message.ToNanoseconds() / 1e9


def timestamp(time: datetime | None) -> Timestamp | None:
    """The time as a Timestamp; None stays None."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message
