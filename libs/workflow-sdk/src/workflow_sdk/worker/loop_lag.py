"""Measures how late the event loop is. A handler that blocks it delays everything else, also heartbeats."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

INTERVAL_SECONDS = 0.25
_KEPT = 40  # the last ten seconds


class LoopLag:
    """Measures how late a timer fires."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lags: deque[float] = deque(maxlen=_KEPT)
        self._expected = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            self._expected = self._monotonic() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._lags.append(max(0.0, self._monotonic() - self._expected))

    @property
    def worst(self) -> float:
        """The longest delay of the last ten seconds, in seconds."""
        return max(self._lags, default=0.0)

    @property
    def last(self) -> float:
        """The latest delay, in seconds."""
        return self._lags[-1] if self._lags else 0.0
