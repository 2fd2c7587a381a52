"""A store of one execution, its workers and its clock: enough to run `decide` as the orchestrator does.

It serves partial snapshots, as Postgres does: rows are loaded when a decision asks for them, and without
their payloads. Decisions of one batch follow on one snapshot and are written together. After every step
everything that must always hold is checked, see invariants.py and steps.py.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decide import decide, start
from execution_orchestrator.domain.decision import BulkChange, Decision, Effect, MissingError, Snapshot
from execution_orchestrator.domain.errors import DomainError, HeavyEvaluationError, PlanUnavailableError
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.rules.bulk import apply_bulk, renew_claim
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, EndedAttempt, Lease, TaskKey, TaskRun

from tests.unit.orchestrator.domain.invariants import State, check_state
from tests.unit.orchestrator.domain.loading import copied, load, merged
from tests.unit.orchestrator.domain.steps import check_step

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_TTL = timedelta(seconds=30)

Task = str | tuple[str, int]
"""`"a"`, or `("a", 3)` for an item of its fan-out."""


def boot_of(worker: str) -> str:
    """The boot id of a worker."""
    return f"{worker}-boot"


def key_of(task: Task) -> TaskKey:
    """The key of a task run."""
    return TaskKey(task) if isinstance(task, str) else TaskKey(*task)


@dataclass
class World:
    """One execution from its start."""

    plan: Plan
    input: Any = field(default_factory=dict)
    thorough: bool = True  # also decide everything twice; too slow for thousands of rows
    join_batch: bool = False  # whether the next command joins the batch of the one before
    preload: Iterable[TaskKey] = ()  # loaded before the next command asks
    plan_is_readable: bool = True  # whether the commands of the next batch find the plan
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    attempts: list[EndedAttempt] = field(default_factory=list)
    hints: set[TaskKey] = field(default_factory=set)
    leases: list[Lease] = field(default_factory=list)  # every claim that ever was
    loads: int = 0
    heavy: list[tuple[str, str]] = field(default_factory=list)  # what a thread would have evaluated
    loaded_outputs: list[str] = field(default_factory=list)  # ids of tasks
    bulk: list[BulkChange] = field(default_factory=list)  # all that were made so far
    boots: dict[str, datetime] = field(default_factory=dict)  # until when each worker process has its lease

    def __post_init__(self) -> None:
        self.execution_id = UUID(int=7)
        self._stored: dict[TaskKey, TaskRun] = {}  # what a SELECT would see
        self._pending: dict[TaskKey, TaskRun] = {}  # decided in this batch, not yet written
        self._snapshot: Snapshot | None = None
        self._input = json.dumps(self.input)
        command = commands.StartExecution(self.execution_id, "default", "flow", 1, self._input, {})
        evaluated: dict[tuple[str, str], Any] = {}
        decision = self._start(command, evaluated)
        if self.thorough:
            assert decision == start(self.plan, command, self.now, evaluated)
        self.execution: Execution = decision.execution
        self._take(Snapshot(decision.execution, self.plan, input=self._input), decision, None)
        self.flush()

    # -- looking --------------------------------------------------------------------------------

    @property
    def rows(self) -> dict[TaskKey, TaskRun]:
        """Every task run as it stands now."""
        return {
            **self._stored,
            **{key: merged(task, self._stored.get(key)) for key, task in self._pending.items()},
        }

    def row(self, task: Task) -> TaskRun:
        """One task run as it stands now."""
        return self.rows[key_of(task)]

    def status(self, task: Task) -> str:
        """The status of a task run."""
        return str(self.row(task).status)

    def statuses(self) -> dict[str, str]:
        """The status of every task run, items as `a[0]`."""
        return {
            key.task_id if key.item == NO_ITEM else f"{key.task_id}[{key.item}]": str(task.status)
            for key, task in self.rows.items()
        }

    def event_types(self, *, after: int = 0) -> list[str]:
        """The kinds of events with a higher sequence number."""
        return [str(event.type) for event in self.events if event.sequence > after]

    def input_of(self, task: Task) -> Any:
        """The stored input of a task run, parsed."""
        text = self.row(task).input
        return None if text is None else json.loads(text)

    def in_state(self, status: TaskStatus) -> list[TaskKey]:
        """The task runs in a status."""
        return [key for key, task in self.rows.items() if task.status is status]

    def in_flight(self) -> list[TaskKey]:
        """The task runs that a worker has."""
        return [key for key, task in self.rows.items() if task.in_flight]

    # -- acting ---------------------------------------------------------------------------------

    def claim(self, task: Task, *, worker: str = "w1") -> Lease:
        """Claim what must be claimable."""
        lease = self.try_claim(task, worker=worker)
        assert lease is not None, f"{task} could not be claimed: {self.row(task)}"
        return lease

    def try_claim(self, task: Task, *, worker: str = "w1") -> Lease | None:
        """Claim, as for a hint that may be stale."""
        token = f"token {len(self.leases)}".encode()
        command = commands.ClaimTask(key_of(task), worker, boot_of(worker), LEASE_TTL, token)
        lease = self.run(command).lease
        self.leases += [lease] if lease else []
        return lease

    def report(self, lease: Lease, outcome: commands.TaskOutcome) -> Effect:
        """Report what became of a claim."""
        return self.run(commands.ReportTask(lease.key, lease.epoch, outcome, lease.token)).effect

    def succeed(self, lease: Lease, output: Any = None) -> Effect:
        """Report success."""
        return self.report(lease, commands.Succeeded(json.dumps(output)))

    def fail(self, lease: Lease, type_: str = "Boom", *, non_retryable: bool = False) -> Effect:
        """Report a failure."""
        return self.report(lease, commands.Failed(Failure(type_, "it broke", non_retryable=non_retryable)))

    def work(self, task: Task, output: Any = None) -> None:
        """Claim a task and report success."""
        assert self.succeed(self.claim(task), output) is Effect.APPLIED

    def pause(self, **how: str) -> Effect:
        """PauseExecution."""
        return self.run(commands.PauseExecution(**how)).effect

    def resume(self, **how: str) -> Effect:
        """ResumeExecution."""
        return self.run(commands.ResumeExecution(**how)).effect

    def cancel(self, grace: float = 30, reason: str = "") -> Effect:
        """CancelExecution."""
        return self.run(commands.CancelExecution(timedelta(seconds=grace), reason)).effect

    def quarantine(self, reason: str = "it cannot be decided", tries: int = 5) -> Effect:
        """QuarantineExecution."""
        return self.run(commands.QuarantineExecution(reason, tries)).effect

    def release(self, reason: str = "") -> Effect:
        """ReleaseExecution."""
        return self.run(commands.ReleaseExecution(reason)).effect

    def advance(self, seconds: float) -> None:
        """Let time pass; nobody wakes for it."""
        self.flush()
        self.now += timedelta(seconds=seconds)

    def wake(self, task: Task) -> Effect:
        """The timer of a task fires, rightly or not."""
        return self.run(commands.WakeTask(key_of(task))).effect

    def wake_execution(self) -> Effect:
        """The timer of the execution fires, rightly or not."""
        return self.run(commands.WakeExecution()).effect

    def sleep(self, seconds: float) -> None:
        """Let time pass and every timer that is due by then fire, late and all at once."""
        self.advance(seconds)
        self.fire()

    def fire(self) -> None:
        """Every timer that is due fires; afterwards none is due."""
        if self.execution.wake_time is not None and self.execution.wake_time <= self.now:
            self.wake_execution()
        self.reap()
        for key, task in self.rows.items():
            if task.wake_time is not None and task.wake_time <= self.now:
                self.wake(key)
        for time in (self.execution.wake_time, *(task.wake_time for task in self.rows.values())):
            assert time is None or time > self.now, "a timer fired in vain, and would for ever"

    def renew(self, lease: Lease, *, handler_alive: bool = True, confirms: bool = True) -> bool:
        """A heartbeat: it renews the lease of the worker process, or of the claim, and is no decision."""
        self.flush()
        task = self._stored[lease.key]
        if task.epoch != lease.epoch or not task.in_flight:
            return False
        assert task.boot_id is not None
        if confirms:
            self.boots[task.boot_id] = self.now + LEASE_TTL
        renew_claim(task, self.now, LEASE_TTL, covered=confirms, handler_alive=handler_alive)
        return True

    def reap(self) -> None:
        """Lose every confirmed claim of a worker process whose lease has expired."""
        self.flush()
        for key, task in self.rows.items():
            if task.confirmed and self.boots[str(task.boot_id)] <= self.now:
                self.lose(key)

    def lose(self, task: Task, *, epoch: int | None = None, boot_id: str | None = None) -> Effect:
        """The reaper loses a claim of a worker process, rightly or not."""
        row = self.row(task)
        boot_id = boot_id or row.boot_id or "none"
        over = self.boots.get(boot_id, self.now)
        command = commands.LoseClaim(row.key, row.epoch if epoch is None else epoch, boot_id, over)
        return self.run(command).effect

    # -- the store ------------------------------------------------------------------------------

    def run(self, command: commands.Command) -> Decision:
        """Decide a command, load what the decision lacks, apply it, check everything.

        Raises DomainError, and PlanUnavailableError if the decision needs a plan that is not readable.
        """
        if not self.join_batch or self._snapshot is None:
            self.flush()
            plan = self.plan if self.plan_is_readable else None
            self._snapshot = Snapshot(self.execution.copy(), plan, plan_problem="nobody can read it")
        self._snapshot.evaluated = {}
        self._load(self._snapshot, MissingError(tasks=[key for key in self.preload if key in self._stored]))
        decision = self._decide(self._snapshot, command)
        self._take(self._snapshot, decision, command)
        if decision.bulk:
            self.flush()
        return decision

    def flush(self) -> None:
        """Write what the batch has decided; the next command begins another."""
        self._stored = self.rows
        self._pending = {}
        self._snapshot = None

    def _start(self, command: commands.StartExecution, evaluated: dict[tuple[str, str], Any]) -> Decision:
        while True:
            try:
                return start(self.plan, command, self.now, evaluated)
            except HeavyEvaluationError as heavy:
                evaluated[heavy.key] = heavy.compute()
                self.heavy.append(heavy.key)

    def _decide(self, snapshot: Snapshot, command: commands.Command) -> Decision:
        while True:
            before = copied(snapshot) if self.thorough else snapshot
            try:
                decision = decide(snapshot, command, self.now)
            except MissingError as missing:
                assert snapshot == before, "a decision changed its snapshot"
                self._load(snapshot, missing)
                continue
            except HeavyEvaluationError as heavy:
                assert snapshot == before, "a decision changed its snapshot"
                snapshot.evaluated = {**snapshot.evaluated, heavy.key: heavy.compute()}
                self.heavy.append(heavy.key)
                continue
            except (DomainError, PlanUnavailableError):
                assert snapshot == before, "a refusal changed its snapshot"
                raise
            assert snapshot == before, "a decision changed its snapshot"
            if self.thorough:
                assert decide(before, command, self.now) == decision, "the same gave something else"
            return decision

    def _load(self, snapshot: Snapshot, missing: MissingError) -> None:
        self.loads += 1
        self.loaded_outputs += sorted(missing.outputs)
        load(snapshot, missing, self._stored, self._input)

    def _take(self, snapshot: Snapshot, decision: Decision, command: commands.Command | None) -> None:
        before = self._state()
        if decision.changed:
            snapshot.execution = decision.execution
            snapshot.tasks.update(decision.tasks)
            self.execution = decision.execution
            self._pending.update(decision.tasks)
            self.events += decision.events
            self.attempts += decision.attempts
            self.hints |= set(decision.ready)
        decided = self._state()
        for change in decision.bulk:
            self.flush()
            result = apply_bulk(list(self._stored.values()), change, self.now)
            self.attempts += result.ended
            self.hints |= set(result.ready)
            self.bulk.append(change)
        check_step(before, decided, self._state(), decision, command)
        check_state(self._state(), self.plan)

    def _state(self) -> State:
        rows = {key: task.copy() for key, task in self.rows.items()}
        return State(
            self.execution.copy(), rows, list(self.events), list(self.attempts), set(self.hints), self.now
        )
