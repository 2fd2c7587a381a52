"""Write one group of work in one transaction, and try again if that can help.

The faults that may happen, and their consequences:

- The connection breaks, so the commit may have happened: the engine looks for an event that the transaction
  wrote. If it is stored, the whole transaction is; if not, the group is decided again.
- Postgres undid the transaction (a deadlock, a lost race): the group is decided again.
- A statement was too slow, a row stayed locked, or Postgres refused a value: the group is halved until the
  culprit is alone, so that one member harms nobody else.
- Another transaction holds an execution: the commands to it wait in the lane, and the others go on.
- A decision needs a large evaluation: its work waits for a thread that makes it, and the others go on.
- The plan of an execution is not in memory: it is loaded and compiled between two transactions, so that no
  lock is held meanwhile.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from execution_orchestrator.application.engine.after_commit import AfterCommit
from execution_orchestrator.application.engine.batch import Batch
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.engine.plans import Plans, VersionKey
from execution_orchestrator.application.engine.work import (
    CommandWork,
    Offers,
    RequestIdReusedError,
    StartWork,
    WorkEntry,
)
from execution_orchestrator.application.ports.store import (
    BadDataError,
    RetryTransactionError,
    RowLockedError,
    Store,
    StoreUnavailableError,
    Transaction,
    TransactionTooSlowError,
)
from execution_orchestrator.domain.commands import WakeExecution, WakeTask
from execution_orchestrator.domain.decision import Snapshot
from execution_orchestrator.domain.errors import HeavyEvaluationError, InvalidDefinitionError
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.plan import Plan

log = structlog.get_logger(__name__)

MAX_TRIES = 8
FIRST_RETRY_SECONDS = 0.05

Entries = Sequence[WorkEntry]
Starts = list[tuple[WorkEntry, StartWork]]
Commands = list[tuple[WorkEntry, CommandWork]]

LoadedPlans = dict[VersionKey, Plan | Exception]
"""Plans for the next transaction, however full the cache is; or the reason if a plan cannot be loaded."""


class WaitingRoom(Protocol):
    """Keeps work that cannot be committed now, and queues it again later."""

    def park(self, entries: Entries) -> None:
        """Take commands to executions that another transaction holds."""
        ...

    def evaluate(self, heavy: Mapping[WorkEntry, HeavyEvaluationError]) -> None:
        """Take work that needs an evaluation on a thread."""
        ...


class GroupCommit:
    """Commits groups of work. Several groups may be committed at the same time, one for each lane."""

    def __init__(
        self,
        store: Store,
        plans: Plans,
        clock: DatabaseClock,
        offers: Offers,
        after: AfterCommit,
        lease_ttl: timedelta,
        max_tries: int = MAX_TRIES,
    ) -> None:
        self._max_tries = max_tries
        self._offers = offers
        self._store = store
        self._plans = plans
        self._clock = clock
        self._after = after
        self._lease_ttl = lease_ttl

    async def run(self, entries: Entries, room: WaitingRoom) -> None:
        """Commit the entries. Afterwards each is settled, waits in the room, or only waits for its token."""
        in_doubt: list[Batch] = []
        try:
            await self._run(entries, room, in_doubt)
        finally:
            for batch in in_doubt:
                batch.abandon()

    async def _run(self, entries: Entries, room: WaitingRoom, in_doubt: list[Batch]) -> None:
        plans: LoadedPlans = {}
        while entries := [entry for entry in entries if entry.is_open]:
            last = await self._commit(entries, plans, room, in_doubt)
            if last is None:
                return
            plans = await self._load_plans(last.unplanned)
            entries = last.deferred

    async def _commit(
        self, entries: Entries, plans: LoadedPlans, room: WaitingRoom, in_doubt: list[Batch]
    ) -> Batch | None:
        """Commit one batch. Return it, or None if the entries are settled in another way."""
        failure: Exception | None = None
        for attempt in range(self._max_tries):
            if attempt:
                await asyncio.sleep(FIRST_RETRY_SECONDS * 2 ** (attempt - 1))
            try:
                stored = await self._try(entries, plans, in_doubt)
            except (BadDataError, TransactionTooSlowError, RowLockedError) as error:
                await self._halve(entries, error, room, in_doubt)
                return None
            except (RetryTransactionError, StoreUnavailableError) as error:
                log.warning("transaction_retried", error=str(error), attempt=attempt + 1, size=len(entries))
                failure = error
            else:
                return self._conclude(stored, room, in_doubt)
        assert failure is not None
        for entry in entries:
            entry.settle(failure)
        return None

    async def _try(self, entries: Entries, plans: LoadedPlans, in_doubt: list[Batch]) -> list[Batch]:
        """Run a transaction, unless an earlier one was stored after all. Return the stored batches, in order.

        An earlier transaction may be stored even after this one succeeded: the server may have finished it
        after its connection broke.
        """
        if stored := await self._stored(in_doubt):
            return stored
        batch = Batch(self._lease_ttl, self._offers)
        try:
            await self._transact(batch, entries, plans)
        except StoreUnavailableError:
            in_doubt.append(batch)
            raise
        except BaseException:
            batch.abandon()
            raise
        return [*await self._stored_as_far_as_known(in_doubt), batch]

    async def _stored(self, batches: Iterable[Batch]) -> list[Batch]:
        """Return the batches whose transactions were committed. Raise StoreUnavailableError."""
        events = [(batch, event) for batch in batches if (event := batch.first_event) is not None]
        return [batch for batch, event in events if await self._store.has_event(*event)]

    async def _stored_as_far_as_known(self, batches: Iterable[Batch]) -> list[Batch]:
        """Return the same, or nothing if the store cannot say: the leases of a batch in doubt expire."""
        try:
            return await self._stored(batches)
        except (RetryTransactionError, StoreUnavailableError) as error:
            log.warning("doubts_remain", error=str(error))
            return []

    def _conclude(self, stored: list[Batch], room: WaitingRoom, in_doubt: list[Batch]) -> Batch:
        for batch in stored:
            if batch in in_doubt:
                in_doubt.remove(batch)
            self._after.conclude(batch)
        last = stored[-1]
        room.park([entry for entry in last.locked if entry.is_open])
        room.evaluate({entry: heavy for entry, heavy in last.heavy.items() if entry.is_open})
        return last

    async def _halve(
        self, entries: Entries, error: Exception, room: WaitingRoom, in_doubt: list[Batch]
    ) -> None:
        """Commit each half alone, so that one bad member neither fails nor holds up the others."""
        if len(entries) > 1:
            middle = len(entries) // 2
            await self._run(entries[:middle], room, in_doubt)
            await self._run(entries[middle:], room, in_doubt)
        elif stored := await self._stored_as_far_as_known(in_doubt):
            self._conclude(stored, room, in_doubt)
        elif isinstance(error, RowLockedError):
            room.park(entries)
        else:
            entries[0].settle(error)

    async def _transact(self, batch: Batch, entries: Entries, plans: LoadedPlans) -> None:
        starts: Starts = [(entry, entry.item) for entry in entries if isinstance(entry.item, StartWork)]
        commands: Commands = [(entry, entry.item) for entry in entries if isinstance(entry.item, CommandWork)]
        async with self._store.transaction() as tx:
            starts = await self._reserve(tx, batch, starts)
            commands = await self._open(tx, batch, commands, plans)
            now = self._clock.now()
            unused = [work.request for entry, work in starts if not batch.start(entry, work, now)]
            if requests := [request for request in unused if request is not None]:
                await tx.forget_request_ids(requests)
            if commands:
                await batch.run(commands, tx, now)
            for changes in batch.changes.values():
                changes.now = now
            if batch.changes:
                batch.thawed = await tx.write(list(batch.changes.values()))

    async def _reserve(self, tx: Transaction, batch: Batch, starts: Starts) -> Starts:
        """Reserve the request ids. Return the starts that are the first with theirs."""
        requests = {entry: work.request for entry, work in starts if work.request is not None}
        if not requests:
            return starts
        owners = await tx.reserve_request_ids(list(requests.values()))
        repeated = set()
        for (entry, request), owner in zip(requests.items(), owners, strict=True):
            if owner.request_hash != request.request_hash:
                batch.results[entry] = RequestIdReusedError()
                repeated.add(entry)
            elif owner.execution_id != request.execution_id:
                batch.repeats[entry] = owner.execution_id
                repeated.add(entry)
        return [(entry, work) for entry, work in starts if entry not in repeated]

    async def _open(self, tx: Transaction, batch: Batch, commands: Commands, plans: LoadedPlans) -> Commands:
        """Lock the executions. Return the commands whose executions are locked and have their plans."""
        if not commands:
            return commands
        ids = sorted({work.execution_id for _, work in commands})
        executions = {each.id: each for each in await tx.lock_executions(ids)}
        missing = [id_ for id_ in ids if id_ not in executions]
        held = await tx.existing_ids(missing) if missing else set()
        if any(isinstance(work.command, WakeTask | WakeExecution) for _, work in commands):
            self._clock.sync(await tx.now())  # the clock of the primary decides what is due
        unplanned = {id_ for id_, each in executions.items() if not self._open_one(batch, each, plans)}
        batch.locked = [entry for entry, work in commands if work.execution_id in held]
        batch.deferred += [entry for entry, work in commands if work.execution_id in unplanned]
        return [each for each in commands if each[1].execution_id not in held | unplanned]

    def _open_one(self, batch: Batch, execution: Execution, plans: LoadedPlans) -> bool:
        """Open an execution for its commands; return False if its plan must be loaded first."""
        key = execution.namespace, execution.workflow_id, execution.version
        plan = self._plans.cached(key) or plans.get(key)
        if plan is None:
            batch.unplanned.add(key)
        elif isinstance(plan, Exception):
            batch.open(Snapshot(execution, None, plan_problem=str(plan)))
        else:
            batch.open(Snapshot(execution, plan))
        return plan is not None

    async def _load_plans(self, versions: Iterable[VersionKey]) -> LoadedPlans:
        plans: LoadedPlans = {}
        for key in versions:
            try:
                plans[key] = await self._plans.get(*key)
            except (InvalidDefinitionError, StoreUnavailableError, RetryTransactionError) as error:
                plans[key] = error
        return plans
