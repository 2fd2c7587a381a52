"""The decisions of one batch: run the pure core for each command, and collect the rows to write.

The commands of one execution are decided one after another. Each is decided on the state that the one before
it left. If a decision needs something that its snapshot lacks, the batch loads it and decides again. All
executions of the batch are loaded by the same statements.

A command is deferred to the next transaction if the batch is full. It is deferred too if a bulk change comes
before it, because the snapshot does not have the rows that a bulk change touches.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from workflow_contract.doorbell import Ring

from execution_orchestrator.application.engine.claim_token import new_claim_token
from execution_orchestrator.application.engine.committed import Committed
from execution_orchestrator.application.engine.loading import Loading, needs_of
from execution_orchestrator.application.engine.plans import VersionKey
from execution_orchestrator.application.engine.weight import weight_of_decision
from execution_orchestrator.application.engine.work import (
    Claimant,
    CommandWork,
    ExecutionNotFoundError,
    Offers,
    StartWork,
    UndecidableError,
    Work,
    WorkEntry,
    WorkResult,
)
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.store import ExecutionChanges, RunKey, Transaction
from execution_orchestrator.domain.commands import ClaimTask, ReportTask
from execution_orchestrator.domain.decide import decide, start
from execution_orchestrator.domain.decision import Decision, Effect, MissingError, Snapshot
from execution_orchestrator.domain.errors import DomainError, HeavyEvaluationError, PlanUnavailableError
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.limits import MAX_BATCH_WEIGHT
from execution_orchestrator.domain.task import NO_ITEM, Lease

log = structlog.get_logger(__name__)

Commands = Sequence[tuple[WorkEntry, CommandWork]]
Queue = deque[tuple[WorkEntry, CommandWork]]


class Batch:
    """One attempt at one transaction. After a rollback a new batch is made."""

    def __init__(self, lease_ttl: timedelta, offers: Offers) -> None:
        self.changes: dict[UUID, ExecutionChanges] = {}
        self.results: dict[WorkEntry, WorkResult | Exception] = {}
        self.repeats: dict[WorkEntry, UUID] = {}  # starts that repeat an earlier one, and its execution
        self.deferred: list[WorkEntry] = []
        self.unplanned: set[VersionKey] = set()  # the plans that deferred commands lack
        self.locked: list[WorkEntry] = []  # commands to executions that another transaction holds
        self.heavy: dict[WorkEntry, HeavyEvaluationError] = {}  # a thread evaluates for them
        self.thawed: list[Hint] = []  # tasks that a bulk change made ready
        self.leases: list[tuple[Claimant, Lease]] = []  # for workers that reported nothing in this batch
        self.next_leases: list[tuple[WorkEntry, Lease]] = []  # for the reporters of these entries
        self.must_check: set[UUID] = set()
        self.undecided: dict[UUID, str] = {}  # executions for which a command could not be decided, and why
        self.waits: list[float] = []  # seconds from ready to claimed
        self._ready: dict[RunKey, Hint] = {}
        self._snapshots: dict[UUID, Snapshot] = {}
        self._loading = Loading(self._snapshots)
        self._lease_ttl = lease_ttl
        self._offers = offers
        self._weight = 0

    def committed(self) -> Committed:
        """Return what others need to know of the batch, now that it is committed."""
        return Committed(
            changes=self.changes,
            rings=self._rings(),
            hints=[*self._ready.values(), *self.thawed],
            must_check=self.must_check,
            waits=self.waits,
            undecided=self.undecided,
        )

    def _rings(self) -> list[Ring]:
        changed = [(id_, each.execution) for id_, each in self.changes.items()]
        return [
            Ring(each.namespace, id_, each.last_sequence, str(each.status), id_ in self.must_check)
            for id_, each in changed
        ]

    @property
    def first_event(self) -> tuple[UUID, Event] | None:
        """Return an event of the batch. If it is stored, so is the whole batch: it is one transaction."""
        return next(((id_, each.events[0]) for id_, each in self.changes.items() if each.events), None)

    @property
    def is_full(self) -> bool:
        """Return whether the batch writes as much as one transaction should."""
        return self._weight >= MAX_BATCH_WEIGHT

    def start(self, entry: WorkEntry, work: StartWork, now: datetime) -> bool:
        """Accept a new execution. Return False if nothing is to be written for it."""
        if self.is_full:
            self.deferred.append(entry)
            return False
        try:
            decision = start(work.plan, work.command, now, work.evaluated)
        except HeavyEvaluationError as heavy:
            self.heavy[entry] = heavy
            return False
        except Exception as defect:
            _log_defect(work, defect)
            self.results[entry] = defect
            return False
        snapshot = Snapshot(decision.execution, work.plan, input=work.command.input)
        self._snapshots[work.execution_id] = snapshot
        self._weight += len(work.command.input)
        self._apply(snapshot, decision)
        self.changes[work.execution_id].input = work.command.input
        if not decision.bulk:
            self._claim_ready(snapshot, decision, entry, now)
        self.results[entry] = WorkResult(snapshot.execution, Effect.APPLIED)
        return True

    def open(self, snapshot: Snapshot) -> None:
        """Add the snapshot of an execution whose row is locked. Its commands follow."""
        self._snapshots[snapshot.execution.id] = snapshot

    async def run(self, commands: Commands, tx: Transaction, now: datetime) -> None:
        """Decide all of the commands. Afterwards each has a result, or is deferred to the next batch."""
        queues = self._queues(commands)
        obvious = {
            id_: needs_of([work for _, work in queue], self._snapshots[id_].available_plan)
            for id_, queue in queues.items()
        }
        await self._loading.load(tx, obvious)
        while queues:
            lacking = {id_: lack for id_ in list(queues) if (lack := self._drain(id_, queues[id_], now))}
            queues = {id_: queues[id_] for id_ in lacking}
            if lacking:
                await self._loading.load(tx, lacking)

    def abandon(self) -> None:
        """Give back the credits that the batch reserved: its transaction was undone."""
        for claimant, _ in self.leases:
            claimant.give_back()
        for entry, _ in self.next_leases:
            reporter_of(entry).give_back()
        self.leases.clear()
        self.next_leases.clear()

    def _queues(self, commands: Commands) -> dict[UUID, Queue]:
        """Return the commands by execution, in order. Refuse the commands to executions that do not exist."""
        queues: dict[UUID, Queue] = defaultdict(deque)
        for entry, work in commands:
            snapshot = self._snapshots.get(work.execution_id)
            if snapshot is None or work.namespace not in (None, snapshot.execution.namespace):
                self.results[entry] = ExecutionNotFoundError(str(work.execution_id))
            else:
                queues[work.execution_id].append((entry, work))
        return queues

    def _drain(self, id_: UUID, queue: Queue, now: datetime) -> MissingError | None:
        """Decide the commands in order. Return what the next one lacks, or None if none is left."""
        snapshot = self._snapshots[id_]
        while queue:
            entry, work = queue[0]
            if self.is_full or (id_ in self.changes and self.changes[id_].bulk):
                self.deferred.extend(each for each, _ in queue)
                return None
            try:
                self._decide(snapshot, entry, work, now)
            except MissingError as lack:
                if not self._loading.is_stuck(id_, lack):
                    return self._with_input_of_next_item(lack, work)
                self._note_undecided(entry, work, f"the database lacks what the rules need: {_named(lack)}")
            except HeavyEvaluationError as heavy:
                self.heavy[entry] = heavy
            except DomainError as refusal:
                self.results[entry] = refusal
            except PlanUnavailableError as problem:
                self._note_undecided(entry, work, str(problem))
            except Exception as defect:
                _log_defect(work, defect)
                reason = f"{type(work.command).__name__} failed with {type(defect).__name__}"
                self._note_undecided(entry, work, reason)
            queue.popleft()
        return None

    def _with_input_of_next_item(self, lack: MissingError, work: CommandWork) -> MissingError:
        """Load the next item's input together with its row, so that the reporter can have it at once."""
        items = [key for key in lack.tasks if key.item != NO_ITEM]
        if work.claimant is None or not items or not isinstance(work.command, ReportTask):
            return lack
        return MissingError(
            tasks=lack.tasks,
            inputs=lack.inputs | set(items),
            outputs=lack.outputs,
            execution_input=lack.execution_input,
        )

    def _note_undecided(self, entry: WorkEntry, work: Work, reason: str) -> None:
        """Refuse the command with an error of its own. The other commands of the batch go on."""
        if self._snapshots[work.execution_id].execution.quarantine is None:
            self.undecided[work.execution_id] = reason
        self.results[entry] = UndecidableError(reason)

    def _decide(self, snapshot: Snapshot, entry: WorkEntry, work: CommandWork, now: datetime) -> None:
        key = getattr(work.command, "key", None)
        if key is not None and self._loading.is_absent(work.execution_id, key):
            self.results[entry] = WorkResult(snapshot.execution, Effect.STALE)
            return
        before = snapshot.tasks.get(key) if key is not None else None
        snapshot.evaluated = work.evaluated or {}
        decision = decide(snapshot, work.command, now)
        if decision.lease is not None and before is not None and before.ready_time is not None:
            self.waits.append((now - before.ready_time).total_seconds())
        if decision.changed:
            self._apply(snapshot, decision)
            if isinstance(work.command, ReportTask) and not decision.bulk:
                self._claim_ready(snapshot, decision, entry, now)
        self.results[entry] = WorkResult(snapshot.execution, decision.effect, decision.lease)

    def _apply(self, snapshot: Snapshot, decision: Decision) -> None:
        execution = snapshot.execution = decision.execution
        snapshot.tasks.update(decision.tasks)
        changes = self.changes.get(execution.id)
        if changes is None:
            changes = self.changes[execution.id] = ExecutionChanges(execution)
        changes.execution = execution
        changes.created |= decision.created
        changes.tasks.update(decision.tasks)
        changes.new_tasks |= decision.new_tasks
        changes.events += decision.events
        changes.attempts += decision.attempts
        changes.bulk += decision.bulk
        self._weight += weight_of_decision(decision)
        if decision.workers_must_check:
            self.must_check.add(execution.id)
        for key in decision.ready:
            task = snapshot.tasks[key]
            self._ready[execution.id, key] = Hint(
                execution.namespace, execution.id, key.task_id, key.item, task.task_type, task.queue
            )

    def _claim_ready(self, snapshot: Snapshot, decision: Decision, entry: WorkEntry, now: datetime) -> None:
        """Claim the next tasks for workers that have room, in the same transaction and without the queue.

        If `entry` is a report, its worker comes first: it gets the lease along with the acknowledgement.
        """
        reporter = entry.item.claimant
        no_room: set[tuple[str, str]] = set()
        for key in decision.ready:
            task = snapshot.tasks[key]
            kind = (task.task_type, task.queue)
            if kind in no_room:
                continue
            claimant = self._offers.reserve(snapshot.execution.namespace, *kind, reporter)
            if claimant is None:
                no_room.add(kind)
                continue
            token = new_claim_token()
            command = ClaimTask(key, claimant.worker_id, claimant.boot_id, self._lease_ttl, token)
            try:
                claim = decide(snapshot, command, now)
            except MissingError:
                claim = None  # its input is not loaded, so it goes through the queue
            if claim is None or claim.lease is None:
                claimant.give_back()
                continue
            self._apply(snapshot, claim)
            self.waits.append(0.0)
            del self._ready[snapshot.execution.id, key]
            if claimant is reporter:
                self.next_leases.append((entry, claim.lease))
            else:
                self.leases.append((claimant, claim.lease))


def reporter_of(entry: WorkEntry) -> Claimant:
    """Return the worker that reported. Only an entry with a reporter has leases of its own."""
    assert entry.item.claimant is not None
    return entry.item.claimant


def _log_defect(work: Work, defect: Exception) -> None:
    """Log a defect of the engine. It must not fail the other commands of the batch."""
    command, id_ = type(work.command).__name__, str(work.execution_id)
    log.error("decision_failed", command=command, execution_id=id_, exc_info=defect)


def _named(lack: MissingError) -> str:
    """Return what is missing, in words for people."""
    tasks = [f"task {key.task_id}" + (f" item {key.item}" if key.item >= 0 else "") for key in lack.tasks]
    inputs = [f"the input of {key.task_id}" for key in lack.inputs]
    outputs = [f"the output of {task_id}" for task_id in lack.outputs]
    own = ["the execution's input"] if lack.execution_input else []
    return ", ".join(sorted([*tasks, *inputs, *outputs, *own])[:5])
