"""The part of the orchestrator's store that lists READY tasks, in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.store import RunKey
from execution_orchestrator.domain.task import TaskKey

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


class FakeStore:
    """Tasks that are READY, and since when. It is always NOW.

    `pages` counts the pages that were read, `beginnings` has the time at which each walk began, and `asked`
    counts the tasks of which somebody asked whether they are still READY.
    """

    def __init__(self, *hints: Hint, age: timedelta = timedelta(seconds=10)) -> None:
        self.ready = dict.fromkeys(hints, NOW - age)
        self.beginnings: list[datetime | None] = []
        self.pages = 0
        self.asked = 0

    def add(self, *hints: Hint, age: timedelta = timedelta(seconds=10)) -> None:
        """Make more tasks READY."""
        self.ready |= dict.fromkeys(hints, NOW - age)

    async def now(self) -> datetime:
        return NOW

    async def ready_hints(
        self, after: tuple[datetime, RunKey] | None, waited: timedelta, limit: int
    ) -> list[tuple[datetime, Hint]]:
        self.pages += 1
        if after is None or after[1][0] == UUID(int=0):
            self.beginnings.append(after and after[0])
        rows = sorted((time, key_of(hint), hint) for hint, time in self.ready.items() if NOW - time >= waited)
        return [(time, hint) for time, key, hint in rows if after is None or (time, key) > after][:limit]

    async def still_ready(self, keys: Sequence[RunKey]) -> set[RunKey]:
        self.asked += len(keys)
        return {key_of(hint) for hint in self.ready} & set(keys)


def key_of(hint: Hint) -> RunKey:
    """Return the task run of a hint."""
    return hint.execution_id, TaskKey(hint.task_id, hint.item)
