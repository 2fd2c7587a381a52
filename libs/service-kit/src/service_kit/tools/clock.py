"""Time as a port: decisions take a `Clock`, so tests can move time without sleeping."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a component gets time from."""

    def now(self) -> datetime:
        """Wall-clock time, timezone-aware, in UTC. It may jump; never measure a span with it."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back. For spans and time-outs within this process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task; zero or less only yields to the event loop."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))
