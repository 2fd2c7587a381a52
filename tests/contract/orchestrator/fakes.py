"""The ports to what only hints, in memory. They pass the same contract suites as the real adapters."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.queue import MAX_POP, QueuedHint, QueueStats
from execution_orchestrator.application.ports.worker_board import BoardEntry, BoardKey, WorkerFacts
from service_kit.tools.clock import Clock, SystemClock
from workflow_contract.doorbell import Ring


class FakeQueue:
    """A queue for each name: a dict from each hint to its place, and one from each hint to its time."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._places: dict[str, dict[Hint, float]] = {}
        self._times: dict[Hint, float] = {}
        self._pushed = 0.0
        self._marks: set[str] = set()

    async def push(self, hints: Sequence[Hint]) -> int:
        added = 0
        for hint in hints:
            waiting = self._places.setdefault(hint.queue, {})
            if hint not in waiting:
                self._pushed += 1
                waiting[hint] = self._pushed
                self._times[hint] = self._clock.monotonic()
                added += 1
        return added

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[QueuedHint]:
        waiting = self._places.get(queue, {})
        wanted = [
            QueuedHint(*each) for each in waiting.items() if (each[0].namespace, each[0].task_type) in accepts
        ]
        taken = sorted(wanted, key=lambda each: each.score)[: max(0, min(limit, MAX_POP))]
        for each in taken:
            del waiting[each.hint]
        return taken

    async def put_back(self, taken: Sequence[QueuedHint]) -> None:
        for hint, score in taken:
            waiting = self._places.setdefault(hint.queue, {})
            waiting[hint] = min(score, waiting.get(hint, score))

    async def length(self, queue: str) -> int:
        return len(self._places.get(queue, {}))

    def _oldest_age(self, queue: str) -> float | None:
        times = [self._times[hint] for hint in self._places.get(queue, {})]
        return self._clock.monotonic() - min(times) if times else None

    async def queues(self) -> list[str]:
        return sorted({*self._places, *self._marks})

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return [QueueStats(name, await self.length(name), self._oldest_age(name)) for name in queues]

    async def page(self, queue: str, cursor: int) -> tuple[int, list[QueuedHint]]:
        waiting = sorted(self._places.get(queue, {}).items(), key=lambda each: each[1])
        end = cursor + MAX_POP
        return end if end < len(waiting) else 0, [QueuedHint(*each) for each in waiting[cursor:end]]

    async def remove(self, queue: str, seen: Sequence[QueuedHint]) -> int:
        waiting = self._places.get(queue, {})
        present = [hint for hint, score in seen if waiting.get(hint) == score]
        for hint in present:
            del waiting[hint]
        return len(present)

    async def heal(self, queue: str) -> bool:
        return False  # there is one record of what waits, which agrees with itself

    async def mark_generation(self, queue: str) -> bool:
        is_new = queue not in self._marks
        self._marks.add(queue)
        return is_new

    def wipe(self) -> None:
        """What FLUSHALL does."""
        self._places.clear()
        self._marks.clear()


class FakeLocks:
    """Where the locks of a test stand: the holder and the end of each."""

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


class FakeBus:
    """What all doorbells of a test have in common."""

    def __init__(self) -> None:
        self.listeners: list[tuple[object, Callable[[Sequence[Ring]], None]]] = []


class FakeDoorbell:
    """One process's end of the bus."""

    def __init__(self, bus: FakeBus) -> None:
        self._bus = bus

    async def publish(self, rings: Sequence[Ring]) -> None:
        for owner, on_rings in self._bus.listeners:
            if rings and owner is not self:
                on_rings(list(rings))

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:
        entry = (self, on_rings)
        self._bus.listeners.append(entry)
        on_gap()
        try:
            await asyncio.Event().wait()
        finally:
            self._bus.listeners.remove(entry)


class FakeTaskTypeBoard:
    """One board for everybody who is given it."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._trusted_until: dict[tuple[str, str], float] = {}

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        until = self._clock.monotonic() + trust_seconds
        for key in ((namespace, task_type) for task_type in task_types):
            self._trusted_until[key] = max(until, self._trusted_until.get(key, until))

    async def offered(self, namespace: str) -> frozenset[str]:
        now = self._clock.monotonic()
        return frozenset(
            task_type
            for (offered_in, task_type), until in self._trusted_until.items()
            if offered_in == namespace and now < until
        )


class FakeWorkerBoard:
    """One board for everybody who is given it: for each replica its entries, and until when they hold."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._written: dict[str, tuple[float, datetime, dict[BoardKey, tuple[bytes | None, bytes]]]] = {}

    async def write(
        self,
        replica: str,
        written: Mapping[BoardKey, WorkerFacts],
        gone: Collection[BoardKey],
        now: datetime,
        trust_seconds: float,
    ) -> bool:
        known = replica in self._held()
        entries = self._written[replica][2] if known else {}
        for key, facts in written.items():
            before = entries.get(key, (None, b""))[0]
            entries[key] = (before if facts.identity is None else facts.identity, facts.state)
        for key in gone:
            entries.pop(key, None)
        self._written[replica] = (self._clock.monotonic() + trust_seconds, now, entries)
        return known

    async def forget(self, replica: str) -> None:
        self._written.pop(replica, None)

    async def entries(self) -> list[BoardEntry]:
        held = self._held()
        return [BoardEntry(name, held[name][1], key) for name in held for key in held[name][2]]

    async def read(self, entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        return [self._read(entry) for entry in entries]

    def _read(self, entry: BoardEntry) -> tuple[bytes, bytes] | None:
        held = self._held()
        identity, state = (
            held[entry.replica][2].get(entry.key, (None, b"")) if entry.replica in held else (None, b"")
        )
        return None if identity is None else (identity, state)

    def _held(self) -> dict[str, tuple[float, datetime, dict[BoardKey, tuple[bytes | None, bytes]]]]:
        now = self._clock.monotonic()
        return {name: each for name, each in self._written.items() if now < each[0]}

    def wipe(self) -> None:
        """What FLUSHALL does."""
        self._written.clear()
