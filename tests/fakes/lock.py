"""Locks in memory. They pass the same contract suite as the locks in Redis."""

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

    async def try_acquire(self) -> bool:
        holder, end = self._locks.holders.get(self._duty, (None, 0.0))
        if holder is not None and holder is not self and self._clock.monotonic() < end:
            return False
        self._locks.holders[self._duty] = (self, self._clock.monotonic() + self._ttl_seconds)
        return True

    async def release(self) -> None:
        if self._locks.holders.get(self._duty, (None, 0.0))[0] is self:
            del self._locks.holders[self._duty]
