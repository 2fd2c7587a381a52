"""Durations as people write them (`5m`, `1h30m`, `500ms`), and as the contracts' JSON has them (`300s`)."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise

_UNITS = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|[dhms])", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
EXAMPLES = "such as 30s, 5m, 1h30m or 500ms"
MAX_CHARS = 64
MAX_SECONDS = 315_576_000_000
"""About 10,000 years: the range of `google.protobuf.Duration`. Up to a second more is still accepted."""


def seconds(text: str) -> Decimal:
    """Return the duration in seconds. Each unit may occur once, the largest first.

    Raise ValueError if the text is not a duration, or if the contracts cannot carry it: it has a fraction of
    a nanosecond, or is over 10,000 years.
    """
    total = _total(text)
    if total >= MAX_SECONDS + 1:
        longest = f"{MAX_SECONDS // 86_400}d"
        raise ValueError(f"{text!r} is longer than any duration may be ({longest}): shorten it")
    if total != round(total, 9):
        raise ValueError(f"{text!r} has a part of a nanosecond: round it")
    return total


def _total(text: str) -> Decimal:
    """Return the sum of the parts. Raise ValueError if the text is not a duration."""
    text = text.strip()
    if len(text) > MAX_CHARS or _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text[:MAX_CHARS]!r} is not a duration: write a number and a unit, {EXAMPLES}")
    parts = _PART.findall(text)
    units = [_UNITS[unit] for _, unit in parts]
    if any(later >= earlier for earlier, later in pairwise(units)):
        raise ValueError(f"{text!r} is not a duration: write each unit once, the largest first, {EXAMPLES}")
    return sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0))


def seconds_between(text: str, shortest: str, longest: str) -> float:
    """Return the duration in seconds.

    Raise ValueError, with both ends of the range, if it is out of range.
    """
    if not _total(shortest) <= _total(text) <= _total(longest):
        raise ValueError(f"must be from {shortest} to {longest}, but is {text}")
    return float(seconds(text))


def to_json(text: str) -> str:
    """Return the duration as a `google.protobuf.Duration` in JSON: `1h30m` is `5400s`.

    Raise ValueError as `seconds` does.
    """
    total = seconds(text)
    whole = total.to_integral_value()
    return f"{whole if whole == total else total.normalize():f}s"


def written(whole_seconds: int, nanos: int = 0) -> str:
    """Return the exact duration as an author writes it: `1m30s`, `500ms`.

    Raise ValueError if it is below zero.
    """
    if whole_seconds < 0 or nanos < 0:
        raise ValueError(
            f"a span of {whole_seconds} s and {nanos} ns is below zero: files have no such spans"
        )
    if not whole_seconds and nanos:
        unit, size = ("ms", 1_000_000) if nanos >= 1_000_000 else ("us", 1_000)
        return f"{(Decimal(nanos) / size).normalize():f}{unit}"
    days, rest = divmod(whole_seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    last = (rest + Decimal(nanos).scaleb(-9)).normalize()
    parts = [(f"{days}", "d"), (f"{hours}", "h"), (f"{minutes}", "m"), (f"{last:f}", "s")]
    return "".join(number + unit for number, unit in parts if number != "0") or "0s"


def human(total_seconds: float) -> str:
    """Return the duration for people, in at most two units: `80 ms`, `3.2 s`, `5 min 3 s`, `2 h 10 min`."""
    if total_seconds < 0.9995:
        return f"{max(0.0, total_seconds) * 1000:.0f} ms"
    if total_seconds < 9.95:
        return f"{total_seconds:.1f} s"
    whole = round(total_seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"
