"""The decisions of one batch: load what the commands touch, run the pure core for each, gather what is to be
written.

Commands of one execution are decided one after another, each on what the one before left. A decision that
lacks something of its snapshot is made again once that is loaded; the loads of all executions share their
statements.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from execution_orchestrator.application.output_schema import as_reported
from execution_orchestrator.application.ports import ExecutionChanges, LoadedOutput, RunKey, Transaction
from execution_orchestrator.application.work import (
    Claimant,
    CommandWork,
    ExecutionNotFoundError,
    Offers,
    StartWork,
    Work,
    WorkResult,
)
from execution_orchestrator.domain.commands import ClaimTask, Command, ReportTask, WakeTask
from execution_orchestrator.domain.decide import decide, start
from execution_orchestrator.domain.decision import Decision, Outcome, Snapshot
from execution_orchestrator.domain.errors import DomainError, HeavyEvaluationError, MissingError
from execution_orchestrator.domain.hints import Hint
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import NO_ITEM, Lease, TaskKey

log = structlog.get_logger(__name__)

Position = int
"""Where in the batch a piece of work stands; its result goes to the same place."""


class Batch:
    """One attempt at one transaction. After a rollback make a new one."""

    def __init__(self, lease_ttl: timedelta, offers: Offers) -> None:
        self.changes: dict[UUID, ExecutionChanges] = {}
        self.results: dict[Position, WorkResult | Exception] = {}
        self.deferred: list[Position] = []
        self.heavy: dict[Position, HeavyEvaluationError] = {}  # decided again after an evaluation on a thread
        self.leases: list[tuple[Claimant, Lease]] = []
        self.stops: set[UUID] = set()
        self.waits: list[float] = []  # seconds from ready to claimed
        self._ready: dict[RunKey, Hint] = {}
        self._snapshots: dict[UUID, Snapshot] = {}
        self._refused: dict[UUID, Exception] = {}
        self._absent: set[RunKey] = set()
        self._started: dict[Position, Decision] = {}
        self._reported: dict[Position, Command] = {}  # checked against the output schema, to be decided again
        self._lease_ttl = lease_ttl
        self._offers = offers

    @property
    def hints(self) -> list[Hint]:
        """What is to be pushed: ready, and not claimed within the batch."""
        return list(self._ready.values())

    def decide_starts(
        self, works: Sequence[tuple[Position, StartWork]], now: datetime
    ) -> list[tuple[Position, StartWork]]:
        """Decide all starts, before the transaction; return those that can be written.

        The others have a result or are `heavy`: for them no request id may be reserved.
        """
        for position, work in works:
            try:
                self._started[position] = start(work.plan, work.command, now, work.evaluated)
            except HeavyEvaluationError as heavy:
                self.heavy[position] = heavy
            except Exception as defect:
                self._note_defect(position, work, defect)
        return [(position, work) for position, work in works if position in self._started]

    def start(self, position: Position, work: StartWork, now: datetime) -> None:
        """Accept a new execution that `decide_starts` has decided."""
        decision = self._started.pop(position)
        snapshot = Snapshot(decision.execution, work.plan, input=work.command.input)
        self._snapshots[work.execution_id] = snapshot
        self._apply(snapshot, decision)
        self.changes[work.execution_id].input = work.command.input
        if not decision.bulk:
            self._claim_ready(snapshot, decision, None, now)
        self.results[position] = WorkResult(snapshot.execution, Outcome.APPLIED)

    def open(self, snapshot: Snapshot) -> None:
        """Commands to this execution follow; its row is locked."""
        self._snapshots[snapshot.execution.id] = snapshot

    def refuse(self, execution_id: UUID, error: Exception) -> None:
        """Nothing can be decided for this execution: that is the result of its commands."""
        self._refused[execution_id] = error

    async def run(
        self, works: Sequence[tuple[Position, CommandWork]], tx: Transaction, now: datetime
    ) -> None:
        """Decide all of the commands. Afterwards each has a result, or is deferred to the next batch."""
        queues: dict[UUID, deque[tuple[Position, CommandWork]]] = defaultdict(deque)
        for position, work in works:
            snapshot = self._snapshots.get(work.execution_id)
            if work.execution_id in self._refused:
                self.results[position] = self._refused[work.execution_id]
            elif snapshot is None or work.namespace not in (None, snapshot.execution.namespace):
                self.results[position] = ExecutionNotFoundError(str(work.execution_id))
            else:
                queues[work.execution_id].append((position, work))
        await self._load(tx, {id_: self._obvious(id_, queue) for id_, queue in queues.items()})
        while queues:
            lacking = {id_: lack for id_ in list(queues) if (lack := self._drain(id_, queues[id_], now))}
            queues = {id_: queues[id_] for id_ in lacking}
            if lacking:
                await self._load(tx, lacking)

    def abandon(self) -> None:
        """The transaction was undone: give back the credits that were taken."""
        for claimant, _ in self.leases:
            claimant.give_back()

    def _drain(
        self, id_: UUID, queue: deque[tuple[Position, CommandWork]], now: datetime
    ) -> MissingError | None:
        snapshot = self._snapshots[id_]
        while queue:
            position, work = queue[0]
            if id_ in self.changes and self.changes[id_].bulk:
                # Rows that the bulk change touches are not in the snapshot: go on from what it leaves.
                self.deferred.extend(place for place, _ in queue)
                return None
            try:
                self._decide(snapshot, position, work, now)
            except MissingError as missing:
                return missing
            except HeavyEvaluationError as heavy:
                self.heavy[position] = heavy
            except DomainError as refusal:
                self.results[position] = refusal
            except Exception as defect:
                self._note_defect(position, work, defect)
            queue.popleft()
        return None

    def _note_defect(self, position: Position, work: Work, defect: Exception) -> None:
        """A defect of ours must not fail its neighbours in the batch."""
        command, id_ = type(work.command).__name__, str(work.execution_id)
        log.error("decision_failed", command=command, execution_id=id_, exc_info=defect)
        self.results[position] = defect

    def _decide(self, snapshot: Snapshot, position: Position, work: CommandWork, now: datetime) -> None:
        key = getattr(work.command, "key", None)
        if key is not None and (work.execution_id, key) in self._absent:
            self.results[position] = WorkResult(snapshot.execution, Outcome.STALE)
            return
        before = snapshot.tasks.get(key) if key is not None else None
        command = self._reported.pop(position, None) or as_reported(work.command, snapshot.plan)
        snapshot.evaluated = work.evaluated or {}
        try:
            decision = decide(snapshot, command, now)
        except MissingError:
            self._reported[position] = command
            raise
        if decision.lease is not None and before is not None and before.ready_time is not None:
            self.waits.append((now - before.ready_time).total_seconds())
        if decision.changed:
            self._apply(snapshot, decision)
            if isinstance(work.command, ReportTask) and not decision.bulk:
                self._claim_ready(snapshot, decision, work.claimant, now)
        refused = command is not work.command and decision.outcome is Outcome.APPLIED
        outcome = Outcome.REJECTED if refused else decision.outcome
        self.results[position] = WorkResult(snapshot.execution, outcome, decision.lease)

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
        if decision.stop:
            self.stops.add(execution.id)
        for key in decision.ready:
            task = snapshot.tasks[key]
            self._ready[execution.id, key] = Hint(
                execution.namespace, execution.id, key.task_id, key.item, task.task_type, task.queue
            )

    def _claim_ready(
        self, snapshot: Snapshot, decision: Decision, reporter: Claimant | None, now: datetime
    ) -> None:
        """Where a worker has room the next task goes to it in the same transaction, without a trip through
        the queue.
        """
        no_room: set[tuple[str, str]] = set()
        for key in decision.ready:
            task = snapshot.tasks[key]
            kind = (task.task_type, task.queue)
            if kind in no_room:
                continue
            claimant = self._offers.take(snapshot.execution.namespace, *kind, reporter)
            if claimant is None:
                no_room.add(kind)
                continue
            command = ClaimTask(key, claimant.worker_id, claimant.boot_id, self._lease_ttl)
            try:
                claim = decide(snapshot, command, now)
            except MissingError:
                claim = None  # its input is not loaded: let it go through the queue
            if claim is None or claim.lease is None:
                claimant.give_back()
                continue
            self._apply(snapshot, claim)
            self.waits.append(0.0)
            del self._ready[snapshot.execution.id, key]
            self.leases.append((claimant, claim.lease))

    async def _load(self, tx: Transaction, lacking: dict[UUID, MissingError]) -> None:
        """One statement for each kind of thing that is missing, for all executions together."""
        if tasks := [(id_, key) for id_, lack in lacking.items() for key in lack.tasks]:
            found = await tx.load_tasks(sorted(tasks))
            self._absent.update(set(tasks) - {(id_, task.key) for id_, task in found})
            for id_, task in found:
                self._snapshots[id_].tasks.setdefault(task.key, task)
        if inputs := [(id_, key) for id_, lack in lacking.items() for key in lack.inputs]:
            for id_, key, text in await tx.load_task_inputs(sorted(inputs)):
                self._snapshots[id_].inputs[key] = text
        if wanted := [id_ for id_, lack in lacking.items() if lack.execution_input]:
            for id_, text in await tx.load_execution_inputs(sorted(wanted)):
                self._snapshots[id_].input = text
        if outputs := [(id_, task_id) for id_, lack in lacking.items() for task_id in lack.outputs]:
            self._take_outputs(outputs, await tx.load_outputs(sorted(outputs)))

    def _take_outputs(self, wanted: list[tuple[UUID, str]], rows: list[LoadedOutput]) -> None:
        for id_, task_id in wanted:
            snapshot = self._snapshots[id_]
            if snapshot.plan.tasks[task_id].fan_out:
                snapshot.item_outputs[task_id] = {}
            else:
                snapshot.outputs[task_id] = None  # skipped, or without a result
        for id_, task_id, item, output, too_large in rows:
            snapshot = self._snapshots[id_]
            if too_large:
                snapshot.too_large.add(task_id)
            if output is None:
                continue
            if item == NO_ITEM:
                snapshot.outputs[task_id] = output
            else:
                snapshot.item_outputs[task_id][item] = output

    def _obvious(self, id_: UUID, queue: deque[tuple[Position, CommandWork]]) -> MissingError:
        """What the commands will ask for for certain, so that most decisions are made once."""
        plan = self._snapshots[id_].plan
        tasks: set[TaskKey] = set()
        inputs: set[TaskKey] = set()
        for _, work in queue:
            match work.command:
                case ClaimTask(key):
                    tasks.add(key)
                    inputs.add(key)
                case ReportTask(key):
                    tasks.add(key)
                    tasks.update(_touched(plan, key))
                case WakeTask(key):
                    tasks.add(key)
        own = {
            key for key in inputs if key.task_id in plan.tasks and plan.tasks[key.task_id].input is not None
        }
        return MissingError(tasks=tasks, inputs=own, execution_input=own != inputs)


def _touched(plan: Plan, key: TaskKey) -> list[TaskKey]:
    """The task runs that a result of this one changes."""
    if key.item != NO_ITEM:
        return [TaskKey(key.task_id)]
    return [TaskKey(each) for each in plan.dependants.get(key.task_id, ())]
