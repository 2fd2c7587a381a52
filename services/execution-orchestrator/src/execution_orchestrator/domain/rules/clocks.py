"""Time stands still while an execution is frozen: paused, or quarantined.

The execution timeout and the timers of its task runs keep what is left of them, and go on from there. A pause
lets the timers of attempts in flight run on, because their workers finish them; a quarantine stops these too.
"""

from datetime import timedelta

from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.rules.transition import Transition


def freeze(t: Transition, change: BulkChange) -> None:
    """Stop the execution timeout, and the timers that `change` names; those that stand still stay so."""
    execution = t.execution
    if execution.timeout_time is not None:
        execution.timeout_remaining = execution.timeout_time - t.now
        execution.timeout_time = None
    t.decision.bulk.append(change)


def thaw(t: Transition) -> None:
    """Let the clocks go on that nothing stops any more: call it after the pause or the quarantine is gone."""
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
