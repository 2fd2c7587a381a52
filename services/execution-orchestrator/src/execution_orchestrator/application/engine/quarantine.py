"""Quarantine: the engine stops trying to decide an execution after a bounded number of tries.

The pipeline reports each execution for which it could not decide a command: its plan cannot be read, a row is
missing, or the rules have a defect. Such a command comes back: a timer fires again, the sweep pushes the hint
again, a worker reports again. So each replica counts the tries of an execution, and quarantines the execution
after MAX_UNDECIDABLE_TRIES of them. After each try that counts, a pause begins in which further tries do not
count. The pause grows with each try. So a burst counts once, and a fault that ends soon quarantines nothing.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from service_kit.errors import ServiceError

from execution_orchestrator.application.engine.committed import Committed
from execution_orchestrator.application.engine.work import (
    CommandWork,
    ExecutionNotFoundError,
    Work,
    WorkResult,
)
from execution_orchestrator.domain.commands import QuarantineExecution
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.limits import (
    FIRST_UNDECIDABLE_PAUSE,
    MAX_UNDECIDABLE_EXECUTIONS,
    MAX_UNDECIDABLE_PAUSE,
    MAX_UNDECIDABLE_TRIES,
    UNDECIDABLE_TRIES_KEPT,
)

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = FIRST_UNDECIDABLE_PAUSE.total_seconds()
NEXT_STEP = "repair the cause, then `workflowctl release ID`, or `workflowctl cancel ID`"

Submit = Callable[[Work], "asyncio.Future[WorkResult]"]


@dataclass(slots=True)
class _Tries:
    """The tries of one execution. The time is of the monotonic clock, in seconds."""

    count: int = 0
    pause_end: float = 0.0  # tries before it do not count


class Quarantines:
    """Counts the tries that could not be decided, and quarantines an execution that had too many.

    The counts are in memory and bounded; another replica counts for itself. Not thread-safe.
    """

    def __init__(
        self,
        submit: Submit,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        max_executions: int = MAX_UNDECIDABLE_EXECUTIONS,
    ) -> None:
        self._first_pause_seconds = first_pause_seconds
        self._max_executions = max_executions
        self._submit = submit
        self._monotonic = monotonic
        self._tries: OrderedDict[UUID, _Tries] = OrderedDict()  # the latest try is the last

    def __len__(self) -> int:
        """Return the number of executions that have tries."""
        return len(self._tries)

    def committed(self, committed: Committed) -> None:
        """Count the executions of a batch for which a command could not be decided. A listener of commits."""
        for execution_id, reason in committed.undecided.items():
            self.note(execution_id, reason)

    def note(self, execution_id: UUID, reason: str) -> None:
        """Count a try, and quarantine the execution if it was the last one.

        Return at once. If the quarantine cannot be written now, a later try quarantines the execution.
        """
        now = self._monotonic()
        self._forget_old(now)
        tries = self._tries.get(execution_id)
        if tries is None:
            if len(self._tries) >= self._max_executions:
                return
            tries = self._tries[execution_id] = _Tries()
        if tries.count and now < tries.pause_end:
            return
        tries.count += 1
        tries.pause_end = now + self._pause_seconds(tries.count)
        self._tries.move_to_end(execution_id)
        if tries.count >= MAX_UNDECIDABLE_TRIES:
            self._quarantine(execution_id, reason, tries.count)

    def _pause_seconds(self, count: int) -> float:
        """Return for how long further tries do not count after the try with this number, from 1."""
        longest = MAX_UNDECIDABLE_PAUSE.total_seconds()
        return min(self._first_pause_seconds * 2.0 ** min(count - 1, 32), longest)

    def _forget_old(self, now: float) -> None:
        kept_seconds = UNDECIDABLE_TRIES_KEPT.total_seconds()
        while self._tries and next(iter(self._tries.values())).pause_end + kept_seconds < now:
            self._tries.popitem(last=False)

    def _quarantine(self, execution_id: UUID, reason: str, tries: int) -> None:
        text = reason.encode(errors="replace").decode()  # a lone surrogate could not be stored
        try:
            future = self._submit(CommandWork(execution_id, QuarantineExecution(text, tries)))
        except ServiceError as error:  # overloaded, or stopping
            log.warning("quarantine_failed", execution_id=str(execution_id), error=error.message)
        else:
            future.add_done_callback(partial(self._note_result, execution_id))

    def _note_result(self, execution_id: UUID, done: "asyncio.Future[WorkResult]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None and not isinstance(error, ExecutionNotFoundError):
            log.warning("quarantine_failed", execution_id=str(execution_id), error=repr(error))
            return
        self._tries.pop(execution_id, None)
        if error is None and done.result().effect is Effect.APPLIED:
            _log_quarantine(done.result())


def _log_quarantine(result: WorkResult) -> None:
    execution, quarantine = result.execution, result.execution.quarantine
    if quarantine is not None:
        log.error(
            "execution_quarantined",
            namespace=execution.namespace,
            execution_id=str(execution.id),
            workflow_id=execution.workflow_id,
            version=execution.version,
            reason=quarantine.reason,
            tries=quarantine.tries,
            next_step=NEXT_STEP,
        )
