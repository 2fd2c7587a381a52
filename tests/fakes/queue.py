"""A queue in memory. It passes the same contract suite as the queue in Redis."""

import asyncio
from collections.abc import Collection, Sequence

from execution_orchestrator.application.ports.hints import Hint, HintsUnavailableError
from execution_orchestrator.application.ports.queue import MAX_POP, QueuedHint, QueueStats
from service_kit.tools.clock import Clock, SystemClock


class FakeQueue:
    """A queue for each name: a dict from each hint to its place, and one from each hint to its time.

    A test can set `down`, so that Redis does not answer, and clear `gate`, so that a pop does not return.
    `pushes` has the number of hints of each push, and `pops` counts the pops.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._places: dict[str, dict[Hint, float]] = {}
        self._times: dict[Hint, float] = {}
        self._pushed = 0.0
        self._marks: set[str] = set()
        self.down = False
        self.pushes: list[int] = []
        self.pops = 0
        self.pops_under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def push(self, hints: Sequence[Hint]) -> int:
        self._check()
        self.pushes.append(len(hints))
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
        self._check()
        self.pops += 1
        taken = self._taken(queue, limit, accepts)
        self.pops_under_way += 1
        await self.gate.wait()
        self.pops_under_way -= 1
        return taken

    def _taken(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[QueuedHint]:
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
        self._check()
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

    def _check(self) -> None:
        if self.down:
            raise HintsUnavailableError("Redis does not answer")

    def wipe(self) -> None:
        """Do what FLUSHALL does."""
        self._places.clear()
        self._marks.clear()
