"""The group-commit pipeline: commands that arrive while a commit is in flight share the next one.

An idle system waits for nothing, a busy one writes hundreds of transitions a transaction. Work is split into
lanes by execution id (starts by their request id), so that lanes never wait for the same row. A result is
given out after the commit, never before.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Histogram
from service_kit.batching import Batcher, Later

from execution_orchestrator.application.batch import Batch
from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.evaluations import Evaluations
from execution_orchestrator.application.notifier import Notice, Notifier
from execution_orchestrator.application.plans import Plans
from execution_orchestrator.application.ports import (
    BadDataError,
    RetryTransactionError,
    Store,
    StoreUnavailableError,
    Transaction,
)
from execution_orchestrator.application.work import (
    CommandWork,
    Offers,
    RequestIdReusedError,
    StartWork,
    Work,
    WorkResult,
)
from execution_orchestrator.domain.commands import WakeExecution, WakeTask
from execution_orchestrator.domain.decision import Outcome, Snapshot
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.hints import Hint
from execution_orchestrator.domain.rings import Ring
from execution_orchestrator.domain.state_machine import ExecutionStatus

log = structlog.get_logger(__name__)

MAX_BATCH = 512
MAX_QUEUE = 20_000
MAX_TRIES = 8
FIRST_RETRY_SECONDS = 0.05

Result = WorkResult | Exception | Later[Work]
Placed = tuple[int, Work]
Owners = dict[int, UUID | Exception]
"""For a start with a request id: the execution that it stands for, or why it stands for none."""

OnCommit = Callable[[Batch, Sequence[Ring]], None]

batch_size = Histogram(
    "workflow_transition_batch_size",
    "Commands in one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)


class Pipeline:
    """Every transition of every execution goes through here."""

    def __init__(
        self,
        store: Store,
        plans: Plans,
        notifier: Notifier,
        clock: DatabaseClock,
        *,
        lease_ttl: timedelta,
        lanes: int = 2,
    ) -> None:
        self._store = store
        self._plans = plans
        self._notifier = notifier
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._evaluations = Evaluations()
        self._lanes = [Batcher(self._handle, max_batch=MAX_BATCH, max_queue=MAX_QUEUE) for _ in range(lanes)]
        self.offers: Offers = _NoOffers()
        self.on_commit: list[OnCommit] = []

    def submit(self, work: Work) -> asyncio.Future[WorkResult]:
        """Queue the work; await it for its committed result.

        Raises DomainError, ExecutionNotFoundError, RequestIdReusedError (nothing was written),
        StoreUnavailableError (it may have been: ask again with the same request id), ServiceError OVERLOADED.
        """
        rival = work.request[:2] if isinstance(work, StartWork) and work.request else work.execution_id
        return self._lanes[hash(rival) % len(self._lanes)].submit(work)

    async def close(self) -> None:
        """Finish what was accepted, refuse the rest."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        self._evaluations.close()

    async def _handle(self, works: Sequence[Work]) -> list[Result]:
        batch_size.observe(len(works))
        results: dict[int, Result] = {}
        positions = list(range(len(works)))
        while positions:
            positions = await self._commit([(place, works[place]) for place in positions], results)
        return [results[place] for place in range(len(works))]

    async def _commit(self, works: list[Placed], results: dict[int, Result]) -> list[int]:
        """One transaction, tried again where that can help; returns what is left for the next one."""
        failure: Exception | None = None
        for attempt in range(MAX_TRIES):
            batch = Batch(self._lease_ttl, self.offers)
            try:
                if attempt:
                    await asyncio.sleep(FIRST_RETRY_SECONDS * 2 ** (attempt - 1))
                    works = await self._without_committed_starts(works, results)
                owners, thawed = await self._transact(batch, works)
            except BaseException as error:
                batch.abandon()
                if isinstance(error, BadDataError):
                    return await self._one_by_one(works, results, error)
                if not isinstance(error, RetryTransactionError | StoreUnavailableError):
                    raise
                log.warning("transaction_retried", error=str(error), attempt=attempt + 1, size=len(works))
                failure = error
            else:
                await self._answer_repeats(owners, batch)
                await self._after_commit(batch, works, thawed)
                results.update(batch.results)
                results.update(self._evaluations.postponed(works, batch.heavy))
                return batch.deferred
        assert failure is not None
        results.update({place: failure for place, _ in works})
        return []

    async def _one_by_one(
        self, works: list[Placed], results: dict[int, Result], error: BadDataError
    ) -> list[int]:
        """One bad value must not fail its neighbours in the batch."""
        if len(works) == 1:
            results[works[0][0]] = error
            return []
        left = []
        for each in works:
            left += await self._commit([each], results)
        return left

    async def _transact(self, batch: Batch, works: list[Placed]) -> tuple[Owners, list[Hint]]:
        """What is left to be said after the commit: who owns the request ids, and what a bulk change made
        ready.
        """
        starts = [(place, work) for place, work in works if isinstance(work, StartWork)]
        commands = [(place, work) for place, work in works if isinstance(work, CommandWork)]
        starts = batch.decide_starts(starts, self._clock.now())
        async with self._store.transaction() as tx:
            owners = await self._reserve(tx, starts)
            await self._open(tx, batch, commands)
            now = self._clock.now()
            for place, start in starts:
                if owners.get(place, start.execution_id) == start.execution_id:
                    batch.start(place, start, now)
            if commands:
                await batch.run(commands, tx, now)
            for changes in batch.changes.values():
                changes.now = now
            thawed = await tx.write(list(batch.changes.values())) if batch.changes else []
        return owners, thawed

    async def _open(self, tx: Transaction, batch: Batch, commands: list[tuple[int, CommandWork]]) -> None:
        if not commands:
            return
        executions = await tx.lock_executions(sorted({work.execution_id for _, work in commands}))
        if any(isinstance(work.command, WakeTask | WakeExecution) for _, work in commands):
            self._clock.tell(await tx.now())  # what is due is decided by the primary's own clock
        for execution in executions:
            try:
                plan = await self._plans.get(execution.namespace, execution.workflow_id, execution.version)
            except InvalidDefinitionError as error:
                batch.refuse(execution.id, error)
            else:
                batch.open(Snapshot(execution, plan))

    async def _reserve(self, tx: Transaction, starts: list[tuple[int, StartWork]]) -> Owners:
        """For each start with a request id the execution that it stands for, or why it stands for none."""
        requests = [(place, work.request) for place, work in starts if work.request is not None]
        if not requests:
            return {}
        owners = await tx.reserve_request_ids([request for _, request in requests])
        return {
            place: owner.execution_id
            if owner.request_hash == request.request_hash
            else RequestIdReusedError()
            for (place, request), owner in zip(requests, owners, strict=True)
        }

    async def _answer_repeats(self, owners: Owners, batch: Batch) -> None:
        """A repeated start is answered with the execution of the first."""
        asked = {place: owner for place, owner in owners.items() if place not in batch.results}
        batch.results.update({place: owner for place, owner in asked.items() if isinstance(owner, Exception)})
        first = {place: owner for place, owner in asked.items() if isinstance(owner, UUID)}
        if not first:
            return
        try:
            executions = {each.id: each for each in await self._store.existing(list(set(first.values())))}
        except (StoreUnavailableError, RetryTransactionError) as error:
            batch.results.update(dict.fromkeys(first, error))
            return
        for place, id_ in first.items():
            if id_ in executions:
                batch.results[place] = WorkResult(executions[id_], repeated=True)
            else:
                batch.results[place] = StoreUnavailableError(f"execution {id_} is not kept any more")

    async def _without_committed_starts(
        self, works: list[Placed], results: dict[int, Result]
    ) -> list[Placed]:
        """After a commit whose answer was lost: starts that did happen are answered, not repeated.

        Raises StoreUnavailableError: as long as that is not known nothing is tried again.
        """
        starts = {work.execution_id: place for place, work in works if isinstance(work, StartWork)}
        if not starts:
            return works
        committed = {
            starts[execution.id]: execution for execution in await self._store.existing(list(starts))
        }
        for place, execution in committed.items():
            results[place] = WorkResult(execution, Outcome.APPLIED)
        return [(place, work) for place, work in works if place not in committed]

    async def _after_commit(self, batch: Batch, works: list[Placed], thawed: list[Hint]) -> None:
        for claimant, lease in batch.leases:
            claimant.deliver(lease)
        rings = [
            Ring(
                changes.execution.namespace,
                id_,
                changes.execution.last_sequence,
                str(changes.execution.status),
                id_ in batch.stops,
            )
            for id_, changes in batch.changes.items()
        ]
        for listener in self.on_commit:
            listener(batch, rings)
        _log_failures(batch)
        hints = [*batch.hints, *thawed]
        told = self._notifier.tell(Notice(hints, rings)) if rings else None
        published = told if hints else None  # nobody waits to see a ring
        await self._answer_visible(batch, works, published)

    async def _answer_visible(
        self, batch: Batch, works: list[Placed], published: asyncio.Future[None] | None
    ) -> None:
        seen = [place for place, work in works if isinstance(work, StartWork) or work.visible]
        answers = [batch.results[place] for place in seen if place in batch.results]
        if not answers:
            return
        token = await self._token()
        for answer in answers:
            if isinstance(answer, WorkResult):
                answer.token = token
                answer.published = published

    async def _token(self) -> str:
        """Empty where Postgres has gone since the commit, which is no error of the calls it was made for."""
        try:
            return await self._store.consistency_token()
        except (StoreUnavailableError, RetryTransactionError) as error:
            log.warning("token_missing", error=str(error))
            return ""


def _log_failures(batch: Batch) -> None:
    for changes in batch.changes.values():
        execution = changes.execution
        if execution.status is ExecutionStatus.FAILED and changes.events and execution.failure is not None:
            log.error(
                "execution_failed",
                namespace=execution.namespace,
                execution_id=str(execution.id),
                workflow_id=execution.workflow_id,
                task_id=execution.failure.task_id or None,
                attempt=execution.failure.attempt or None,
                failure_type=execution.failure.type,
                failure_message=execution.failure.message[:500],
                retry_state=execution.failure.retry_state,
            )


class _NoOffers:
    """Before the dispatcher is there: everything goes through the queue."""

    def take(self, *_: object) -> None:
        return None
