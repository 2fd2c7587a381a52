"""Percentiles, medians and ranges, rounded to what a reader can use."""

import math
import statistics
from collections.abc import Sequence

Figure = float | None


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was measured. Raises ValueError where there is none."""
    if not values:
        raise ValueError("no values were measured")
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    return {f"p{percent}": round(percentile(seconds, percent) * 1e3, 2) for percent in (50, 99)}


def median(values: Sequence[float], digits: int = 0) -> float:
    """The median over rounds."""
    return _rounded(statistics.median(values), digits)


def range_of(values: Sequence[float], digits: int = 0) -> list[float]:
    """The least and the greatest over rounds."""
    return [_rounded(min(values), digits), _rounded(max(values), digits)]


def median_of_each(rounds: Sequence[dict[str, Figure]]) -> dict[str, Figure]:
    """The median of every figure over rounds; None where a round could not tell."""
    return {name: _median_or_none([each.get(name) for each in rounds]) for name in rounds[0]}


def _median_or_none(values: Sequence[Figure]) -> Figure:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 4) if len(known) == len(values) else None


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) if digits else float(round(value))
