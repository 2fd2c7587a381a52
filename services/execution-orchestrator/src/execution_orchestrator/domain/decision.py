"""The snapshot that the rules decide from, and the decision that they return."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from execution_orchestrator.domain.errors import PlanUnavailableError
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import EndedAttempt, Lease, TaskKey, TaskRun


@dataclass
class Snapshot:
    """An execution, its plan, and the task runs loaded so far.

    A decision that needs more raises `MissingError`: the caller loads it into the snapshot and decides
    again. If the plan is not available, `available_plan` is None, and `plan_problem` says why. Then the
    rules can decide only the commands that need no plan.
    """

    execution: Execution
    available_plan: Plan | None
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)
    outputs: dict[str, str | None] = field(default_factory=dict)  # JSON, by task, without fan-outs
    item_outputs: dict[str, dict[int, str]] = field(default_factory=dict)  # JSON, by fan-out and item
    too_large: set[str] = field(default_factory=set)  # fan-outs whose outputs exceed the limit of a load
    inputs: dict[TaskKey, str] = field(default_factory=dict)  # JSON, of tasks that the command may claim
    input: str | None = None  # JSON, of the execution
    plan_problem: str = ""
    evaluated: Mapping[tuple[str, str], Any] = field(default_factory=dict)  # see HeavyEvaluationError

    @property
    def plan(self) -> Plan:
        """The plan. Raise PlanUnavailableError if it is not available."""
        if self.available_plan is None:
            raise PlanUnavailableError(self.plan_problem)
        return self.available_plan


class MissingError(Exception):
    """The snapshot lacks what the decision needs: load it into the snapshot and decide again."""

    def __init__(
        self,
        *,
        tasks: Iterable[TaskKey] = (),
        inputs: Iterable[TaskKey] = (),
        outputs: Iterable[str] = (),
        execution_input: bool = False,
    ) -> None:
        super().__init__("the snapshot is incomplete")
        self.tasks = frozenset(tasks)
        self.inputs = frozenset(inputs)
        self.outputs = frozenset(outputs)
        self.execution_input = execution_input


class BulkChange(StrEnum):
    """A change of many task runs of one execution, which the store makes without loading them.

    rules/bulk.py defines each change. A decision with a bulk change is the last of its execution in a batch,
    because the task runs in the snapshot are out of date after it.
    """

    CANCEL_WAITING = "cancel every task run that is not in flight"
    CANCEL_ALL = "cancel every task run, and revoke the claims of those in flight"
    FREEZE = "stop the timers of the task runs that wait, and take them out of the queue"
    FREEZE_ALL = "the same, and stop the timers of the task runs in flight"
    THAW = "let all timers continue, and put what is READY into the queue"
    THAW_IN_FLIGHT = "let the timers of the task runs in flight continue"


class Effect(StrEnum):
    """The effect of a command on its execution."""

    APPLIED = "the command was applied"
    UNCHANGED = "there was nothing to do"
    STALE = "the command names a claim that is over"
    REJECTED = "the result was not valid, and a failure of the attempt was recorded instead"


@dataclass
class Decision:
    """The answer of the rules to a command: changed rows, new events, and what follows the commit."""

    execution: Execution
    effect: Effect = Effect.UNCHANGED
    created: bool = False  # the execution is new
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)  # changed and new ones
    new_tasks: set[TaskKey] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    attempts: list[EndedAttempt] = field(default_factory=list)
    bulk: list[BulkChange] = field(default_factory=list)
    ready: list[TaskKey] = field(default_factory=list)  # to put into the queue
    lease: Lease | None = None
    workers_must_check: bool = False  # some claims of this execution are over, or must stop

    @property
    def changed(self) -> bool:
        """True if the decision changes a row or adds an event."""
        return self.effect in (Effect.APPLIED, Effect.REJECTED)
