"""Percentiles, medians and ranges, rounded for readers."""

import math
import statistics
from collections.abc import Sequence

Figure = float | None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile, which is a measured value. Raise ValueError without values."""
    if not values:
        raise ValueError("no values were measured")
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds."""
    return {f"p{percent}": round(percentile(seconds, percent) * 1e3, 2) for percent in (50, 99)}


def median(values: Sequence[float], digits: int = 0) -> float:
    """Return the median over rounds."""
    return _rounded(statistics.median(values), digits)


def range_of(values: Sequence[float], digits: int = 0) -> list[float]:
    """Return the smallest and the largest value over rounds."""
    return [_rounded(min(values), digits), _rounded(max(values), digits)]


def median_of_each(rounds: Sequence[dict[str, Figure]]) -> dict[str, Figure]:
    """Return the median of every figure over rounds; None if a round has no value."""
    return {name: _median_or_none([each.get(name) for each in rounds]) for name in rounds[0]}


def _median_or_none(values: Sequence[Figure]) -> Figure:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 4) if len(known) == len(values) else None


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) if digits else float(round(value))
