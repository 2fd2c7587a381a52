"""Times and spans that protobuf's rules forbid, although its parser accepts them.

A `Timestamp` is a moment from the year 1 to the year 9999, and its nanoseconds count forward. A `Duration`
has at most 10,000 years, and its seconds and nanoseconds have the same sign. A value that breaks these rules
has no form in JSON, and programs disagree on its meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from service_kit.errors import FIELD_INVALID, FieldViolation

FIRST_SECOND = -62_135_596_800
LAST_SECOND = 253_402_300_799
MAX_SECONDS = 315_576_000_000
MAX_NANOS = 999_999_999
BAD_TIMESTAMP = (
    "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, with nanos from 0 to"
    f" {MAX_NANOS}"
)
BAD_DURATION = (
    f"must have seconds from -{MAX_SECONDS} to {MAX_SECONDS} and nanos from -{MAX_NANOS} to"
    f" {MAX_NANOS}, with the same sign"
)


def find_bad_time(message: Message) -> FieldViolation | None:
    """Return the first Timestamp or Duration of `message`, at any depth, that is out of range.

    For messages that cannot hold one, this costs one look-up.
    """
    found = _in_message(message)
    return None if found is None else FieldViolation(*found, FIELD_INVALID)


def _in_message(message: Message) -> tuple[str, str] | None:
    for name, check in _checks(message.DESCRIPTOR):
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            for index, each in enumerate(getattr(message, name)):
                if found := check(each):
                    return _below(f"{name}[{index}]", found)
        elif message.HasField(name) and (found := check(getattr(message, name))):
            return _below(name, found)
    return None


def _below(name: str, found: tuple[str, str]) -> tuple[str, str]:
    path, problem = found
    return f"{name}.{path}" if path else name, problem


def _of_timestamp(time: Any) -> tuple[str, str] | None:
    fits = FIRST_SECOND <= time.seconds <= LAST_SECOND and 0 <= time.nanos <= MAX_NANOS
    return None if fits else ("", BAD_TIMESTAMP)


def _of_duration(span: Any) -> tuple[str, str] | None:
    seconds, nanos = span.seconds, span.nanos
    fits = abs(seconds) <= MAX_SECONDS and abs(nanos) <= MAX_NANOS and seconds * nanos >= 0
    return None if fits else ("", BAD_DURATION)


_OWN: dict[str, Callable[[Any], tuple[str, str] | None]] = {
    "google.protobuf.Timestamp": _of_timestamp,
    "google.protobuf.Duration": _of_duration,
}


@cache
def _checks(descriptor: Descriptor) -> list[tuple[str, Callable[[Any], tuple[str, str] | None]]]:
    """Return the fields that are or contain times, and the check of each. Maps are not checked."""
    return [
        (field.name, _OWN.get(field.message_type.full_name, _in_message))
        for field in descriptor.fields
        if field.message_type is not None
        and not field.message_type.GetOptions().map_entry
        and _holds_times(field.message_type, frozenset())
    ]


def _holds_times(descriptor: Descriptor, within: frozenset[str]) -> bool:
    if descriptor.full_name in _OWN:
        return True
    inner = within | {descriptor.full_name}
    return any(
        field.message_type is not None
        and field.message_type.full_name not in inner
        and _holds_times(field.message_type, inner)
        for field in descriptor.fields
    )
