"""The one door to the rules: `decide(snapshot, command, now)`.

Pure: the same snapshot, command and time give the same decision, and the snapshot is never changed. Raises

- `StatusConflictError` if the status does not allow what the caller asks for,
- `MissingError` if the snapshot lacks something: load it and decide again,
- `PlanUnavailableError` if the decision needs the plan and nobody can read it (pause, cancel, quarantine,
  release and the times of an execution never need it),
- `HeavyEvaluationError` if an evaluation takes too long for here: let a thread make it and decide again.
"""

from datetime import datetime
from typing import assert_never

from execution_orchestrator.domain.commands import (
    CancelExecution,
    ClaimTask,
    Command,
    LoseClaim,
    PauseExecution,
    QuarantineExecution,
    ReleaseExecution,
    ReportTask,
    ResumeExecution,
    WakeExecution,
    WakeTask,
)
from execution_orchestrator.domain.decision import Decision, Snapshot
from execution_orchestrator.domain.rules import claims as running
from execution_orchestrator.domain.rules import quarantine, steering
from execution_orchestrator.domain.rules import timers as waking
from execution_orchestrator.domain.rules.transition import Transition


def decide(snapshot: Snapshot, command: Command, now: datetime) -> Decision:
    """What follows from a command; `now` is the primary's clock."""
    t = Transition(snapshot, now)
    match command:
        case ClaimTask():
            return running.claim(t, command)
        case ReportTask():
            return running.report(t, command)
        case LoseClaim():
            return waking.lose_claim(t, command)
        case WakeTask():
            return waking.wake_task(t, command)
        case WakeExecution():
            return waking.wake_execution(t)
        case PauseExecution():
            return steering.pause(t, command)
        case ResumeExecution():
            return steering.resume(t, command)
        case CancelExecution():
            return steering.cancel(t, command)
        case QuarantineExecution():
            return quarantine.quarantine(t, command)
        case ReleaseExecution():
            return quarantine.release(t, command)
        case _:
            assert_never(command)


start = steering.start
