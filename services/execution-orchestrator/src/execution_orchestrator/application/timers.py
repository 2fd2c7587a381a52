"""Timers: what is due is woken, on every replica, always.

None of it needs a leader to be correct. A time that has come is decided again under the execution's lock, by
the primary's clock.
"""

import asyncio
from collections.abc import Callable

import structlog

from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.ports import RetryTransactionError, Store, StoreUnavailableError
from execution_orchestrator.application.reachability import Reachability
from execution_orchestrator.application.work import CommandWork
from execution_orchestrator.domain.commands import WakeExecution, WakeTask

log = structlog.get_logger(__name__)

TIMER_SECONDS = 0.2
TIMER_PAGE = 500


class Timers:
    """Wakes what is due: leases of unconfirmed claims, timeouts, back-offs, deadlines."""

    def __init__(
        self, store: Store, pipeline: Pipeline, clock: DatabaseClock, reachability: Reachability
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._reachability = reachability
        self.on_round: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                busy = await self.tick()
                self.on_round()
            except (StoreUnavailableError, RetryTransactionError) as error:
                log.info("timers_paused", error=str(error))
                busy = False
            if not busy:
                await asyncio.sleep(TIMER_SECONDS)

    async def tick(self) -> bool:
        """Wake one page of what is due; returns whether there may be more."""
        self._clock.tell(await self._store.now())
        tasks = await self._store.due_tasks(TIMER_PAGE, self._reachability.steady)
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
