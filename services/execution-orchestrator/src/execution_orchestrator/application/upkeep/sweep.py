"""The sweep makes the queue hold what is READY in Postgres, and nothing else. Every replica runs it, always.

- It pushes the hint of every READY task again, one page at a time. The queue adds no hint twice.
- It removes hints of tasks that are not READY any more (see stale_hints.py).
- It rebuilds the queue if Redis was wiped.

It needs no leader to be correct. A walk through all READY tasks takes a second for each 20,000 of them, and
the next walk begins a second later. So a lost hint is back within 5 s if 10,000 tasks wait, and within 60 s
if a million wait.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter
from service_kit.process.duties import Rounds
from workflow_contract.names import DEFAULT_QUEUE

from execution_orchestrator.application.ports.hints import Hint, HintsUnavailableError
from execution_orchestrator.application.ports.lock import Lock
from execution_orchestrator.application.ports.queue import Queue
from execution_orchestrator.application.ports.store import (
    RetryTransactionError,
    RunKey,
    Store,
    StoreUnavailableError,
)
from execution_orchestrator.application.upkeep.stale_hints import StaleHints
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
"""From the end of one walk to the begin of the next, and from one look for stale hints to the next."""
PAGE_SECONDS = 0.1
"""From the begin of one page to the begin of the next, within a walk."""
SWEEP_PAGE = 2_000
FULL_WALK_SECONDS = 60.0
"""From one walk that begins at the oldest READY task to the next such walk."""
MARGIN = timedelta(minutes=10)
"""The longest time between the moment when a task becomes READY and its commit."""
SWEEP_AFTER = timedelta(seconds=2)
"""A task that has been READY for this long may have lost its hint."""

requeued = Counter("workflow_jobs_requeued_total", "Hints that the sweep brought back into the queue.")


@dataclass(frozen=True, slots=True)
class SweepPace:
    """How often the sweep looks, and how much it reads at a time."""

    period_seconds: float = SWEEP_SECONDS
    page_seconds: float = PAGE_SECONDS
    page: int = SWEEP_PAGE
    full_walk_seconds: float = FULL_WALK_SECONDS
    waited: timedelta = SWEEP_AFTER


USUAL_PACE = SweepPace()


@dataclass
class Walk:
    """One walk through the tasks that have been READY for `waited`, oldest first."""

    waited: timedelta
    began: datetime | None = None  # by the primary's clock
    after: tuple[datetime, RunKey] | None = None
    is_begun: bool = False
    missing: int = 0

    @property
    def is_rebuild(self) -> bool:
        """True if this walk rebuilds the queue: without pauses, and on every replica that noticed a wipe."""
        return not self.waited


class Sweep:
    """The duty that restores lost hints in the queue, and removes hints of tasks that cannot run."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        lock: Lock,
        on_pushed: Callable[[], None],
        pace: SweepPace = USUAL_PACE,
    ) -> None:
        self._pace = pace
        self._store = store
        self._queue = queue
        self._lock = lock
        self.rounds = Rounds()
        self._on_pushed = on_pushed
        self._stale = StaleHints(store, queue)
        self._walk: Walk | None = None
        self._oldest: datetime | None = None  # no READY task is much older
        self._walk_time = self._look_time = self._full_walk_time = (
            0.0  # of the loop's clock: when each is due
        )

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            pause = self._pace.period_seconds
            # The next round finds what this one did not.
            with suppress(HintsUnavailableError, StoreUnavailableError, RetryTransactionError):
                pause = await self._round()
            self.rounds.done()
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let another replica sweep at once. Call this after `run` has ended."""
        await self._lock.release()

    async def _round(self) -> float:
        """Do one page of the work. Return how many seconds to wait before the next round."""
        time = asyncio.get_running_loop().time
        began = time()
        if await self._queue.mark_generation(DEFAULT_QUEUE):
            self._walk = Walk(timedelta())
        elif self._walk is None or not self._walk.is_rebuild:
            if not await self._lock.try_acquire():
                return self._pace.period_seconds
            await self._begin_what_is_due(began)
        if self._walk is not None and await self._page(self._walk):
            self._walk = None
            self._walk_time = time() + self._pace.period_seconds
        if self._walk is None:
            return max(self._pace.page_seconds, min(self._walk_time, self._look_time) - time())
        if self._walk.is_rebuild:
            return 0.0
        return max(self._pace.page_seconds, time() - began)  # use at most half of the time

    async def _begin_what_is_due(self, now: float) -> None:
        if now >= self._look_time:
            await self._stale.look()
            self._look_time = now + self._pace.period_seconds
        if self._walk is None and now >= self._walk_time:
            self._walk = await self._next_walk(now)

    async def _next_walk(self, now: float) -> Walk:
        """Begin a little before the oldest task of the last walk, or sometimes at the very beginning.

        The index keeps entries of claimed tasks until Postgres cleans up, which a long transaction delays. A
        walk from the beginning would read all of them.
        """
        walk = Walk(self._pace.waited, began=await self._store.now())
        if self._oldest is None or now >= self._full_walk_time:
            self._full_walk_time = now + self._pace.full_walk_seconds
        else:
            walk.after = (self._oldest - MARGIN, (UUID(int=0), TaskKey("")))
        return walk

    async def _page(self, walk: Walk) -> bool:
        """Push the next page of a walk. Return whether it was the last one."""
        page = await self._store.ready_hints(walk.after, walk.waited, self._pace.page)
        if not walk.is_begun:
            walk.is_begun = True
            self._oldest = page[0][0] if page else walk.began
        missing = await self._queue.push([hint for _, hint in page]) if page else 0
        if missing:
            requeued.inc(missing)
            walk.missing += missing
            self._on_pushed()
        if len(page) == self._pace.page:
            time, last = page[-1]
            walk.after = (time, _place(last))
            return False
        if walk.is_rebuild or walk.missing:
            log.info("queue_rebuilt" if walk.is_rebuild else "jobs_requeued", jobs=walk.missing)
        return True


def _place(hint: Hint) -> tuple[UUID, TaskKey]:
    return hint.execution_id, TaskKey(hint.task_id, hint.item)
