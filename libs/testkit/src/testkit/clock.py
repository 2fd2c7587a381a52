"""A clock that only the test moves."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """Implements the clock port of `service_kit.tools.clock`.

    `advance` moves wall-clock and monotonic time together, and wakes the due sleepers in the order of their
    times. `set` moves the wall clock alone, as an administrator or NTP would.
    """

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the monotonic seconds, which only `advance` moves."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """The number of sleeping tasks: wait for it before you advance the clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Sleep until `advance` has moved time that far; zero or less only yields to the event loop."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    def set(self, now: datetime) -> None:
        """Set the wall clock, forwards or backwards. No sleeper wakes, because spans use monotonic time."""
        if now.tzinfo is None:
            raise ValueError("give the time with its zone, such as datetime(2030, 1, 1, tzinfo=UTC)")
        self._now = now.astimezone(UTC)

    async def advance(self, seconds: float) -> None:
        """Move time forward. Stop at the time of each due sleeper, so that it sees its own wake-up time.

        If a sleeper sleeps again within the span, wake it again.
        """
        if seconds < 0:
            raise ValueError("time cannot be advanced by a negative span: use set() for the wall clock")
        target = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not future.done():
                future.set_result(None)
            await self._settle()
        self._move_to(target)

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic

    @staticmethod
    async def _settle() -> None:
        """Let woken tasks run until they wait again. The turns are enough for a chain of awaits."""
        for _ in range(20):
            await asyncio.sleep(0)
