"""The clocks of an execution. They stand still while it is frozen: paused, or quarantined.

The execution timeout and the timers of the task runs keep the time that is left, and continue with it. A
pause does not stop the timers of attempts in flight, because workers finish these. A quarantine stops them
too.
"""

from datetime import timedelta

from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.rules.transition import Transition


def freeze(t: Transition, change: BulkChange) -> None:
    """Stop the execution timeout, and the timers that `change` names. A timer that stands still stays so."""
    execution = t.execution
    if execution.timeout_time is not None:
        execution.timeout_remaining = execution.timeout_time - t.now
        execution.timeout_time = None
    t.decision.bulk.append(change)


def thaw(t: Transition) -> None:
    """Let the clocks continue that nothing stops any more. Call this after the pause or the quarantine
    ends.
    """
    execution = t.execution
    if execution.quarantine is not None:
        return
    if execution.frozen:
        t.decision.bulk.append(BulkChange.THAW_IN_FLIGHT)
        return
    if execution.timeout_remaining is not None:
        execution.timeout_time = t.now + max(execution.timeout_remaining, timedelta())
        execution.timeout_remaining = None
    t.decision.bulk.append(BulkChange.THAW)
