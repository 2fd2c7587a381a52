"""What a decision is made from, and what it is."""

from collections.abc import Mapping
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
    """An execution, its plan, and so much of its tasks as was loaded.

    A decision that needs more raises `MissingError`; the caller adds that and decides again. The plan may be
    unavailable (None): then `plan_problem` says why, and only the commands that need no plan can be decided.
    """

    execution: Execution
    available_plan: Plan | None
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)
    outputs: dict[str, str | None] = field(default_factory=dict)  # of plain tasks, JSON
    item_outputs: dict[str, dict[int, str]] = field(default_factory=dict)  # of fan-outs, JSON
    too_large: set[str] = field(default_factory=set)  # fan-outs whose outputs are over what may be loaded
    inputs: dict[TaskKey, str] = field(default_factory=dict)  # of tasks to be claimed, JSON
    input: str | None = None  # the execution's, JSON
    plan_problem: str = ""

    @property
    def plan(self) -> Plan:
        """The plan. Raise PlanUnavailableError if it is not available."""
        if self.available_plan is None:
            raise PlanUnavailableError(self.plan_problem)
        return self.available_plan

    evaluated: Mapping[tuple[str, str], Any] = field(
        default_factory=dict
    )  # for the command, see HeavyEvaluationError


class BulkChange(StrEnum):
    """A change of many task runs by one statement; nothing of it is loaded.

    A decision with one is the last of its execution in a batch.
    """

    CANCEL_WAITING = "cancel what is not in flight"
    CANCEL_ALL = "cancel everything, revoke what is in flight"
    FREEZE = "stop the timers of what waits, take it from the queue"
    FREEZE_ALL = "the same, and stop the timers of what is in flight"
    THAW = "let all timers go on, put what is ready into the queue"
    THAW_IN_FLIGHT = "let the timers of what is in flight go on"


class Effect(StrEnum):
    """How a command was taken."""

    APPLIED = "applied"
    UNCHANGED = "nothing to do"
    STALE = "of a claim that is over"
    REJECTED = "recorded as a failure, the result itself was bad"


@dataclass
class Decision:
    """What follows from a command: changed rows, new events, and what to tell whom after the commit."""

    execution: Execution
    effect: Effect = Effect.UNCHANGED
    created: bool = False  # the execution is new
    tasks: dict[TaskKey, TaskRun] = field(default_factory=dict)  # changed and new
    new_tasks: set[TaskKey] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    attempts: list[EndedAttempt] = field(default_factory=list)
    bulk: list[BulkChange] = field(default_factory=list)
    ready: list[TaskKey] = field(default_factory=list)  # to be put into the queue
    lease: Lease | None = None
    workers_must_check: bool = False  # workers must be told to look at what they have of this execution

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.effect in (Effect.APPLIED, Effect.REJECTED)
