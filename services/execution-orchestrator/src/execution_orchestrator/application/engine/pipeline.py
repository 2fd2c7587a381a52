"""The group-commit pipeline: commands that arrive while a commit is in flight share the next one.

An idle system commits at once; a busy one writes hundreds of transitions in one transaction. The bucket
of the execution assigns work to a lane, so that two lanes never want the same row, nor the same request id. A
caller gets its result as soon as the transaction with its command is committed, and never before.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from execution_orchestrator.application.engine.after_commit import AfterCommit
from execution_orchestrator.application.engine.commit import MAX_TRIES, GroupCommit
from execution_orchestrator.application.engine.committed import CommitListener
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.engine.lane import Lane
from execution_orchestrator.application.engine.notifier import Notifier
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.engine.quarantine import FIRST_PAUSE_SECONDS, Quarantines
from execution_orchestrator.application.engine.work import Offers, Work, WorkResult
from execution_orchestrator.application.ports.store import Store
from execution_orchestrator.domain.buckets import bucket_of
from execution_orchestrator.domain.limits import MAX_LOCKED_SECONDS


class Pipeline:
    """Every transition of every execution goes through here.

    `offers` is the room of this replica's workers. Each of `after_commit` is called after each commit.
    """

    def __init__(
        self,
        store: Store,
        plans: Plans,
        notifier: Notifier,
        clock: DatabaseClock,
        offers: Offers,
        *,
        after_commit: Sequence[CommitListener] = (),
        lease_ttl: timedelta,
        lanes: int = 2,
        max_tries: int = MAX_TRIES,
        max_locked_seconds: float = MAX_LOCKED_SECONDS,
        quarantine_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        quarantines = Quarantines(self.submit, first_pause_seconds=quarantine_pause_seconds)
        self._after = AfterCommit(store, notifier, [*after_commit, quarantines.committed])
        self._commits = GroupCommit(store, plans, clock, offers, self._after, lease_ttl, max_tries)
        self._evaluator = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluation")
        self._lanes = [Lane(self._commits, self._evaluator, max_locked_seconds) for _ in range(lanes)]

    @property
    def oldest_work_seconds(self) -> float:
        """Return the age of the oldest work that waits or is in flight, in seconds, over all lanes.

        Work whose execution another transaction holds does not count, because its lane goes on.
        """
        return max(lane.oldest_seconds for lane in self._lanes)

    def submit(self, work: Work) -> asyncio.Future[WorkResult]:
        """Queue the work; await the future for its committed result.

        The future raises DomainError, ExecutionNotFoundError, RequestIdReusedError, UndecidableError,
        ExecutionLockedError, BadDataError, ServiceError OVERLOADED (nothing was written), and
        StoreUnavailableError (it may have been written: repeat it with the same request id).
        """
        return self._lanes[bucket_of(work.execution_id) % len(self._lanes)].submit(work)

    async def close(self) -> None:
        """Finish the work that was accepted, and refuse new work."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        await self._after.close()
        self._evaluator.shutdown()
