"""A lane of the pipeline: a queue of work whose batches are committed one after another.

The id of the execution assigns the work to a lane, so two lanes of a replica never want the same row. But
another replica, or an operator, may hold an execution. Then the commands to it are parked, and later ones
with them. They are tried again after a pause that grows. So a locked row delays its own execution only.

Work that needs a large evaluation waits beside the lane until a thread has made it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from uuid import UUID

from prometheus_client import Histogram
from service_kit.tools.batching import BatchQueue, draining

from execution_orchestrator.application.engine.commit import GroupCommit
from execution_orchestrator.application.engine.weight import weight_of_work
from execution_orchestrator.application.engine.work import (
    CommandWork,
    ExecutionLockedError,
    Work,
    WorkEntry,
    WorkResult,
)
from execution_orchestrator.domain.commands import ClaimTask, LoseClaim, WakeExecution, WakeTask
from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.limits import (
    MAX_BATCH_COMMANDS,
    MAX_BATCH_WEIGHT,
    MAX_LANE_COMMANDS,
    MAX_LANE_WEIGHT,
    MAX_LOCKED_SECONDS,
)

MIN_PAUSE_SECONDS = 0.01
MAX_PAUSE_SECONDS = 0.5

SENT_AGAIN = ClaimTask | LoseClaim | WakeTask | WakeExecution
"""Commands that the engine itself sends again: nobody waits for them, and a claim holds a worker's credit."""

batch_size = Histogram(
    "workflow_transition_batch_size",
    "Commands in one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)


class Lane(BatchQueue[Work, WorkResult]):
    """One queue of work and its batches. Belongs to one event loop."""

    def __init__(
        self, commits: GroupCommit, evaluator: Executor, max_locked_seconds: float = MAX_LOCKED_SECONDS
    ) -> None:
        super().__init__(
            max_batch=MAX_BATCH_COMMANDS,
            max_queue=MAX_LANE_COMMANDS,
            weigh=weight_of_work,
            max_batch_weight=MAX_BATCH_WEIGHT,
            max_queue_weight=MAX_LANE_WEIGHT,
        )
        self._commits = commits
        self._max_locked_seconds = max_locked_seconds
        self._evaluator = evaluator
        self._evaluations: set[asyncio.Task[None]] = set()
        self._parked: dict[UUID, list[WorkEntry]] = {}

    def accept(self, entry: WorkEntry, loop: asyncio.AbstractEventLoop) -> None:
        """Queue the work. If its execution is parked, the work waits with the others."""
        if entry.item.execution_id in self._parked:
            self._put_aside(entry)
        else:
            super().accept(entry, loop)

    async def handle_entries(self, entries: Sequence[WorkEntry]) -> None:
        """Commit one batch."""
        batch_size.observe(len(entries))
        await self._commits.run(entries, self)

    def park(self, entries: Sequence[WorkEntry]) -> None:
        """Put aside commands whose executions are locked, for a pause that grows with the time they waited.

        A command that has waited for `max_locked_seconds` gets an ExecutionLockedError.
        """
        loop = asyncio.get_running_loop()
        for entry in entries:
            work = entry.item
            waited = loop.time() - entry.submit_time
            sent_again = isinstance(work, CommandWork) and isinstance(work.command, SENT_AGAIN)
            if sent_again or waited > self._max_locked_seconds:
                entry.settle(ExecutionLockedError(str(work.execution_id)))
                continue
            if work.execution_id not in self._parked:
                pause = min(max(waited / 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
                loop.call_later(pause, self._try_again, work.execution_id)
            self._put_aside(entry)

    def evaluate(self, heavy: Mapping[WorkEntry, HeavyEvaluationError]) -> None:
        """Let a thread evaluate what the work needs, then queue the work again."""
        for entry, evaluation in heavy.items():
            self._weight += entry.weight
            self._outside += 1
            task = asyncio.create_task(self._evaluate(entry, evaluation))
            self._evaluations.add(task)
            task.add_done_callback(self._evaluations.discard)

    async def close(self) -> None:
        """Finish all work that can be finished. Refuse new work, and work that waits for a lock."""
        await super().close()
        while self._evaluations:
            await asyncio.wait(self._evaluations)
            await super().close()
        for entries in self._parked.values():
            for entry in entries:
                entry.settle(draining())
        self._parked.clear()

    async def _evaluate(self, entry: WorkEntry, evaluation: HeavyEvaluationError) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._evaluator, evaluation.compute)
        except Exception as error:
            entry.settle(error)
            return
        finally:
            self._weight -= entry.weight
            self._outside -= 1
        entry.item = replace(entry.item, evaluated={**(entry.item.evaluated or {}), evaluation.key: found})
        self.return_to_queue([entry])

    def _put_aside(self, entry: WorkEntry) -> None:
        self._parked.setdefault(entry.item.execution_id, []).append(entry)
        self._outside += 1
        self._weight += entry.weight

    def _try_again(self, execution_id: UUID) -> None:
        entries = self._parked.pop(execution_id, [])
        self._outside -= len(entries)
        self._weight -= sum(entry.weight for entry in entries)
        if entries:
            self.return_to_queue(entries)
