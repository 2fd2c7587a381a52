"""What runs on every replica, always: timers, the lease reaper, and the sweep that brings lost hints back.

None of it needs a leader to be correct. A time that has come is decided again under the execution's lock, by
the primary's clock; a hint that is pushed twice is in the queue once.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.ports import (
    RetryTransactionError,
    RunKey,
    Store,
    StoreUnavailableError,
)
from execution_orchestrator.application.ports_queue import HintsUnavailableError, Lock, Queue
from execution_orchestrator.application.work import CommandWork
from execution_orchestrator.domain.commands import WakeExecution, WakeTask
from execution_orchestrator.domain.hints import DEFAULT_QUEUE, Hint
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

TIMER_SECONDS = 0.2
TIMER_PAGE = 500
SWEEP_SECONDS = 1.0
SWEEP_PAGE = 10_000
SWEEP_AFTER = timedelta(seconds=2)
"""A task that has been READY for so long may have lost its hint."""

requeued = Counter("workflow_jobs_requeued_total", "Hints that the sweep brought back into the queue.")


class Timers:
    """Wakes what is due: leases, timeouts, back-offs, deadlines."""

    def __init__(self, store: Store, pipeline: Pipeline, clock: DatabaseClock, lease_ttl: timedelta) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._lease_ttl = lease_ttl

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                busy = await self.tick()
            except (StoreUnavailableError, RetryTransactionError) as error:
                log.info("timers_paused", error=str(error))
                busy = False
            if not busy:
                await asyncio.sleep(TIMER_SECONDS)

    async def tick(self) -> bool:
        """Wake one page of what is due; returns whether there may be more."""
        self._clock.tell(await self._store.now())
        tasks = await self._store.due_tasks(TIMER_PAGE, self._lease_ttl)
        executions = await self._store.due_executions(TIMER_PAGE)
        works = [CommandWork(id_, WakeTask(key)) for id_, key in tasks]
        works += [CommandWork(id_, WakeExecution()) for id_ in executions]
        if works:
            results = await asyncio.gather(*map(self._wake, works), return_exceptions=True)
            for error in {repr(result) for result in results if isinstance(result, Exception)}:
                log.warning("wake_failed", error=error)
        return max(len(tasks), len(executions)) == TIMER_PAGE

    async def _wake(self, work: CommandWork) -> None:
        await self._pipeline.submit(work)


class Sweep:
    """Brings every READY task that the queue has forgotten back into it."""

    def __init__(self, store: Store, queue: Queue, lock: Lock) -> None:
        self._store = store
        self._queue = queue
        self._lock = lock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            started = asyncio.get_running_loop().time()
            # What one round did not find the next one does.
            with suppress(HintsUnavailableError, StoreUnavailableError, RetryTransactionError):
                await self._round()
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
