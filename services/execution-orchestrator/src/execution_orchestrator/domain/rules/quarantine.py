"""Quarantine: an execution whose commands cannot be decided stands still until an operator acts.

A quarantine is not a status: the execution keeps its status, and the field `quarantine` is set. Until the
release:

1. No worker claims a task of the execution, and none of its timers fires.
2. If the engine can decide a result, it does; the result may even end the execution. Otherwise it records
   nothing.
3. Pause, resume and cancel work. A cancel ends the execution as usual, at the latest at the cancel deadline.
4. The release lets every clock continue with the time that was left. Claims whose lease has expired end at
   once. If the cause is still there, the engine quarantines the execution again.

Neither a quarantine nor a release needs the plan or a task run.
"""

from execution_orchestrator.domain.commands import QuarantineExecution, ReleaseExecution
from execution_orchestrator.domain.decision import BulkChange, Decision
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Quarantine
from execution_orchestrator.domain.failure import cut
from execution_orchestrator.domain.limits import MAX_QUARANTINE_REASON_BYTES
from execution_orchestrator.domain.rules.clocks import freeze, thaw
from execution_orchestrator.domain.rules.steering import refuse_cancelling, refuse_final
from execution_orchestrator.domain.rules.transition import Transition


def quarantine(t: Transition, command: QuarantineExecution) -> Decision:
    """Quarantine the execution, unless it is final or quarantined, or a cancel will end it soon."""
    execution = t.execution
    if execution.final or execution.cancel_requested or execution.quarantine is not None:
        return t.unchanged()
    reason = cut(command.reason, MAX_QUARANTINE_REASON_BYTES)
    execution.quarantine = Quarantine(t.now, reason, command.tries)
    freeze(t, BulkChange.FREEZE_ALL)
    t.event(EventType.EXECUTION_QUARANTINED, reason=reason)
    return t.done()


def release(t: Transition, command: ReleaseExecution) -> Decision:
    """End the quarantine. If the execution is paused, only its attempts in flight continue."""
    execution = t.execution
    refuse_final(execution, "ReleaseExecution")
    if execution.quarantine is None:
        return t.unchanged()
    refuse_cancelling(execution, "ReleaseExecution")
    execution.quarantine = None
    t.event(EventType.EXECUTION_RELEASED, reason=command.reason or None)
    thaw(t)
    return t.done()
