"""Time as a port: decisions take a `Clock`, so tests can move time without sleeping."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of time of a component."""

    def now(self) -> datetime:
        """Return the wall-clock time, timezone-aware, in UTC.

        It may jump, so never measure a span with it.
        """
        ...

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary point.

        They never go back: use them for spans and time-outs.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task; zero or less only yields to the event loop."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of the machine, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task."""
        await asyncio.sleep(max(0.0, seconds))
