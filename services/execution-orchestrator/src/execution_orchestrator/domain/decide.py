"""The one door to the rules: `decide(snapshot, command, now)`.

It is pure: the same snapshot, command and time give the same decision, and the snapshot is never changed. It
raises

- `StatusConflictError` if the status does not allow what the caller asks for,
- `MissingError` if the snapshot lacks something: load it and decide again,
- `PlanUnavailableError` if the decision needs the plan and the plan is not available. Pause, cancel,
  quarantine, release and the times of an execution never need it,
- `HeavyEvaluationError` if an evaluation takes too long for a decision: make it on a thread and decide again.
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
from execution_orchestrator.domain.rules import claims, quarantine, steering, timers
from execution_orchestrator.domain.rules.transition import Transition


def decide(snapshot: Snapshot, command: Command, now: datetime) -> Decision:
    """Return the consequences of a command. `now` is the primary's time."""
    t = Transition(snapshot, now)
    match command:
        case ClaimTask():
            return claims.claim(t, command)
        case ReportTask():
            return claims.report(t, command)
        case LoseClaim():
            return timers.lose_claim(t, command)
        case WakeTask():
            return timers.wake_task(t, command)
        case WakeExecution():
            return timers.wake_execution(t)
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
