"""The sweep: brings lost hints back into the queue, on every replica, always.

It needs no leader to be correct: a hint that is pushed twice is in the queue once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from execution_orchestrator.application.ports import (
    RetryTransactionError,
    RunKey,
    Store,
    StoreUnavailableError,
)
from execution_orchestrator.application.ports_queue import HintsUnavailableError, Lock, Queue
from execution_orchestrator.domain.hints import DEFAULT_QUEUE, Hint
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
SWEEP_PAGE = 10_000
SWEEP_AFTER = timedelta(seconds=2)
"""A task that has been READY for so long may have lost its hint."""

requeued = Counter("workflow_jobs_requeued_total", "Hints that the sweep brought back into the queue.")


class Sweep:
    """Brings every READY task that the queue has forgotten back into it."""

    def __init__(self, store: Store, queue: Queue, lock: Lock) -> None:
        self._store = store
        self._queue = queue
        self._lock = lock
        self.on_round: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            started = asyncio.get_running_loop().time()
            # What one round did not find the next one does.
            with suppress(HintsUnavailableError, StoreUnavailableError, RetryTransactionError):
                await self._round()
            self.on_round()
            took = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(SWEEP_SECONDS, took))

    async def _round(self) -> None:
        if await self._queue.mark_generation(DEFAULT_QUEUE):
            count = await self.sweep(timedelta())
            log.info("queue_rebuilt", jobs=count)
        elif await self._lock.try_acquire():
            count = await self.sweep(SWEEP_AFTER)
            if count:
                log.info("jobs_requeued", jobs=count)

    async def sweep(self, waited: timedelta) -> int:
        """Push the hint of every task that has been READY for so long; returns how many were missing."""
        after: tuple[datetime, RunKey] | None = None
        missing = 0
        while page := await self._store.ready_hints(after, waited, SWEEP_PAGE):
            missing += await self._queue.push([hint for _, hint in page])
            if len(page) < SWEEP_PAGE:
                break
            time, last = page[-1]
            after = (time, _place(last))
        requeued.inc(missing)
        return missing


def _place(hint: Hint) -> tuple[UUID, TaskKey]:
    return hint.execution_id, TaskKey(hint.task_id, hint.item)
