"""Spans as people write them: `5m`, `1h30m`, `500ms`; and as the contracts' JSON has them: `300s`."""

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
"""About 10,000 years: the range of `google.protobuf.Duration`. Nearly a second more is still in it."""


def seconds(text: str) -> Decimal:
    """Return the span in seconds; each unit may come once, the largest first.

    Raise ValueError if the text is not a span, or the contracts cannot carry it: if it has a part of a
    nanosecond, or over 10,000 years.
    """
    total = _total(text)
    if total >= MAX_SECONDS + 1:
        longest = f"{MAX_SECONDS // 86_400}d"
        raise ValueError(f"{text!r} is longer than any duration may be ({longest}): shorten it")
    if total != round(total, 9):
        raise ValueError(f"{text!r} has a part of a nanosecond: round it")
    return total


def _total(text: str) -> Decimal:
    """Return the sum of the parts. Raise ValueError if the text is not a span."""
    text = text.strip()
    if len(text) > MAX_CHARS or _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text[:MAX_CHARS]!r} is no duration: write a number and a unit, {EXAMPLES}")
    parts = _PART.findall(text)
    units = [_UNITS[unit] for _, unit in parts]
    if any(later >= earlier for earlier, later in pairwise(units)):
        raise ValueError(f"{text!r} is no duration: write each unit once, the largest first, {EXAMPLES}")
    return sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0))


def seconds_between(text: str, shortest: str, longest: str) -> float:
    """Return the span in seconds. Raise ValueError, also if it is not in the range, with both ends."""
    if not _total(shortest) <= _total(text) <= _total(longest):
        raise ValueError(f"must be from {shortest} to {longest}, but is {text}")
    return float(seconds(text))


def to_json(text: str) -> str:
    """The span as a `google.protobuf.Duration` has it in JSON: `1h30m` is `5400s`. ValueError as above."""
    total = seconds(text)
    whole = total.to_integral_value()
    return f"{whole if whole == total else total.normalize():f}s"


def written(whole_seconds: int, nanos: int = 0) -> str:
    """The span as an author writes it, exactly: `1m30s`, `2h`, `1.5s`, `500ms`. ValueError below zero."""
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
    """A span for people, in two units at most: `80 ms`, `3.2 s`, `5 min 3 s`, `2 h 10 min`, `3 d 4 h`."""
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
