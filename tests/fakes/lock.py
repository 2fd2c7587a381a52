"""Locks in memory. They pass the same contract suite as the locks in Redis."""

import asyncio
from types import TracebackType

from service_kit.tools.clock import Clock, SystemClock


class FakeLocks:
    """The locks of a test: the holder of each, and until when it holds the lock."""

    def __init__(self) -> None:
        self.holders: dict[str, tuple[object, float]] = {}


class FakeLock:
    """A lock on a clock that all holders share."""

    def __init__(
        self, locks: FakeLocks, duty: str, *, ttl_seconds: float = 10.0, clock: Clock | None = None
    ) -> None:
        self._locks = locks
        self._duty = duty
        self._ttl_seconds = ttl_seconds
        self._clock = clock or SystemClock()
        self._renewal: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        holder, end = self._locks.holders.get(self._duty, (None, 0.0))
        return holder is self and self._clock.monotonic() < end

    async def try_acquire(self) -> bool:
        holder, end = self._locks.holders.get(self._duty, (None, 0.0))
        if holder is not None and holder is not self and self._clock.monotonic() < end:
            return False
        self._locks.holders[self._duty] = (self, self._clock.monotonic() + self._ttl_seconds)
        return True

    async def renew(self) -> bool:
        return self.held and await self.try_acquire()

    async def release(self) -> None:
        if self.held:
            del self._locks.holders[self._duty]

    async def __aenter__(self) -> bool:
        held = await self.try_acquire()
        if held:
            self._renewal = asyncio.create_task(self._keep_renewing())
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
            await self.release()

    async def _keep_renewing(self) -> None:
        while self.held:
            await self._clock.sleep(self._ttl_seconds / 3)
            await self.renew()
