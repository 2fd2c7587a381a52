"""Which numbers keep their value on every way through the system.

A number travels as a double somewhere, at the latest in a `google.protobuf.Struct`. Integers up to 2^53 are
exact there. A larger integer may become its neighbour, so every entrance refuses it.

A Struct has only doubles, so a whole number beyond 2^53 may be a double that its author wrote, or an integer
that the client has already rounded. Writers of JSON (JavaScript, Go, protobuf) write a double with all its
digits below 1e21, and with an exponent from there on. So below 1e21 the number looks like an integer to its
author, an id most of the time, and is refused. From 1e21 on it is a measurement, such as 6.02e23 or 1e300.
"""

from __future__ import annotations

import math

MAX_WHOLE = 2**53
"""Up to here, in either direction, a double holds every integer exactly."""
EXPONENT_FROM = 1e21
"""From here on, in either direction, writers of JSON give a double an exponent."""
LARGEST = "about 1.8e308"


def is_exact(number: int) -> bool:
    """Return whether the integer keeps its value as a double, and cannot be mistaken for a neighbour."""
    return -MAX_WHOLE <= number <= MAX_WHOLE


def may_be_rounded(number: float) -> bool:
    """Return whether a double of a Struct may be an integer that lost digits. NaN and infinities are not."""
    return MAX_WHOLE < abs(number) < EXPONENT_FROM and number.is_integer()


def as_whole(number: float) -> int | float:
    """Return an integer for a double that is whole and exact, as its author wrote it; else the double."""
    return int(number) if number.is_integer() and is_exact(int(number)) else number


def shown(number: float) -> str:
    """Return NaN and infinities by the names that programs for JSON give them, others as Python does."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(number)
