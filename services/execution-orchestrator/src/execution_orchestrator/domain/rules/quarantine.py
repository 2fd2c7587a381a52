"""Quarantine: an execution whose commands cannot be decided stands still until an operator acts.

Quarantine is no status: the execution keeps its status and has a field more. Meanwhile the rules are these:

1. No task of it is claimed, and no timer of it fires.
2. A result is decided if the engine can decide it; it may even end the execution. Else nothing is recorded.
3. Pause, resume and cancel work. A cancel ends it as usual, at the latest at the cancel deadline.
4. A release lets every clock go on with the time that was left. Claims whose lease ran out meanwhile are over
   at once. If the cause is still there, the engine quarantines the execution again.

Neither a quarantine nor a release needs the plan or a task run.
"""

from execution_orchestrator.domain.commands import QuarantineExecution, ReleaseExecution
from execution_orchestrator.domain.decision import BulkChange, Decision
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Quarantine
from execution_orchestrator.domain.failure import cut
from execution_orchestrator.domain.limits import MAX_QUARANTINE_REASON_BYTES
from execution_orchestrator.domain.rules.clocks import freeze, thaw
from execution_orchestrator.domain.rules.steering import refuse_cancelling, refuse_terminal
from execution_orchestrator.domain.rules.transition import Transition


def quarantine(t: Transition, command: QuarantineExecution) -> Decision:
    """Let the execution stand still, unless it is final, quarantined, or ends soon because of a cancel."""
    execution = t.execution
    if execution.final or execution.cancel_requested or execution.quarantine is not None:
        return t.unchanged()
    reason = cut(command.reason, MAX_QUARANTINE_REASON_BYTES)
    execution.quarantine = Quarantine(t.now, reason, command.tries)
    freeze(t, BulkChange.FREEZE_ALL)
    t.event(EventType.EXECUTION_QUARANTINED, reason=reason)
    return t.done()


def release(t: Transition, command: ReleaseExecution) -> Decision:
    """Let the execution go on where it stood; if it is paused, only its attempts in flight."""
    execution = t.execution
    refuse_terminal(execution, "ReleaseExecution")
    if execution.quarantine is None:
        return t.unchanged()
    refuse_cancelling(execution, "ReleaseExecution")
    execution.quarantine = None
    t.event(EventType.EXECUTION_RELEASED, reason=command.reason or None)
    thaw(t)
    return t.done()
