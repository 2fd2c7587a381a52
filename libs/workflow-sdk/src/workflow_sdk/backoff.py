"""Waiting between attempts: exponential with full jitter, so that a fleet does not return at one moment."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Successive waits in seconds: uniform between 0 and a ceiling that doubles up to `maximum`."""

    def __init__(
        self,
        *,
        first: float = 0.05,
        maximum: float = 5.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._maximum = maximum
        self._uniform = uniform
        self._ceiling = first

    def next(self) -> float:
        """How long to wait before the next attempt."""
        wait = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._maximum, self._ceiling * 2)
        return wait

    def reset(self) -> None:
        """It worked: begin again with the shortest wait."""
        self._ceiling = self._first
