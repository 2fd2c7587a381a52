"""The numbers that keep their value everywhere in the system.

Every number becomes a double at some point, at the latest in a `google.protobuf.Struct`. A double holds
integers up to 2^53 exactly. A larger integer may be rounded to its neighbour, so every entrance refuses it.

A Struct has only doubles, so a whole number beyond 2^53 may be a double that its author wrote, or an integer
that the client has already rounded. JSON libraries (JavaScript, Go, protobuf) write a double below 1e21 with
all its digits, and a larger one with an exponent. So a number below 1e21 looks like an integer to its author,
most often an id, and is refused. A number from 1e21 on is a measurement, such as 6.02e23 or 1e300.
"""

from __future__ import annotations

import math
from typing import Any

MAX_WHOLE = 2**53
"""A double holds every integer from -MAX_WHOLE to MAX_WHOLE exactly."""
EXPONENT_FROM = 1e21
"""JSON libraries write a double with an exponent if its absolute value is at least this large."""
LARGEST = "about 1.8e308"


def is_exact(number: int) -> bool:
    """Return whether the integer keeps its value as a double, and cannot be mistaken for a neighbour."""
    return -MAX_WHOLE <= number <= MAX_WHOLE


def may_be_rounded(number: float) -> bool:
    """Return whether a double of a Struct may be an integer that lost digits. NaN and infinities are not."""
    return MAX_WHOLE < abs(number) < EXPONENT_FROM and number.is_integer()


def as_whole(number: float) -> int | float:
    """Return an int for a double that is whole and exact, as its author wrote it; else return the double."""
    return int(number) if number.is_integer() and is_exact(int(number)) else number


def with_integers(value: Any) -> Any:
    """Return JSON in which `as_whole` was applied to every number. Other values stay as they are."""
    if isinstance(value, float):
        return as_whole(value)
    if isinstance(value, list):
        return [with_integers(each) for each in value]
    if isinstance(value, dict):
        return {name: with_integers(each) for name, each in value.items()}
    return value


def shown(number: float) -> str:
    """Return NaN and infinities by the names that JSON libraries use, and other numbers as Python does."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(number)
