"""Waits between retries: exponential with full jitter, so that clients do not retry all at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """A sequence of waits in seconds: each is random between 0 and a limit, which doubles up to `maximum`."""

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
        """Return the wait before the next retry."""
        wait = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._maximum, self._ceiling * 2)
        return wait

    def reset(self) -> None:
        """Begin again with the shortest wait, after a success."""
        self._ceiling = self._first
