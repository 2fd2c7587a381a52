"""Waits between attempts: exponential with full jitter, so that many clients do not return at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Successive waits in seconds: random between 0 and a ceiling that doubles up to `max_seconds`."""

    def __init__(
        self,
        *,
        first_seconds: float = 0.05,
        max_seconds: float = 5.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if not 0 < first_seconds <= max_seconds:
            raise ValueError("first_seconds must be above 0 and at most max_seconds")
        self._first = first_seconds
        self._max = max_seconds
        self._uniform = uniform
        self._ceiling = first_seconds

    def next(self) -> float:
        """Return how long to wait before the next attempt, in seconds."""
        wait = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._max, self._ceiling * 2)
        return wait

    def reset(self) -> None:
        """Start again with the shortest wait, after an attempt succeeded."""
        self._ceiling = self._first
