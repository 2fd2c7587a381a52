"""The conditions for this replica to be ready: when the pipeline or a duty counts as stuck.

A healthy replica on a loaded machine needs a fraction of each limit, so readiness does not flap. Each limit
is also short enough to send callers to another replica before they give up.
"""

from dataclasses import dataclass

from service_kit.process.duties import Duties

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.upkeep.sweep import Sweep
from execution_orchestrator.application.upkeep.timers import Timers
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.application.workers.dispatcher import Dispatcher

MAX_WORK_AGE_SECONDS = 15.0
"""A batch takes milliseconds, or some seconds if it is very large. The pool gives up a silent database in 10
s.
"""

TIMERS_LATE_SECONDS = 30.0
"""A round takes 0.2 s, plus the batches that it waits for: up to 500 wakes beside other work."""

SWEEP_LATE_SECONDS = 180.0
"""A round over a million waiting jobs takes a minute."""

DISPATCHER_LATE_SECONDS = 30.0
"""A round takes 0.5 s at most, and 2 s for each group of workers while Redis does not answer."""

WAITERS_LATE_SECONDS = 30.0
"""A round takes a second, and up to 5 s more if all connections for reads are taken."""


class WorkTooOldError(Exception):
    """Work has waited in the pipeline for too long."""


@dataclass(frozen=True, slots=True)
class ReadinessLimits:
    """For how long work may wait, and how long a round of each duty may take, in seconds."""

    work_age_seconds: float = MAX_WORK_AGE_SECONDS
    timers_late_seconds: float = TIMERS_LATE_SECONDS
    sweep_late_seconds: float = SWEEP_LATE_SECONDS
    dispatcher_late_seconds: float = DISPATCHER_LATE_SECONDS
    waiters_late_seconds: float = WAITERS_LATE_SECONDS


USUAL_LIMITS = ReadinessLimits()


class Readiness:
    """The checks of the engine itself. None of them needs a connection."""

    def __init__(
        self,
        pipeline: Pipeline,
        timers: Timers,
        sweep: Sweep,
        dispatcher: Dispatcher,
        waiters: Waiters,
        limits: ReadinessLimits = USUAL_LIMITS,
    ) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._duties = Duties()
        self._duties.watch("timers", timers.rounds, limits.timers_late_seconds)
        self._duties.watch("sweep", sweep.rounds, limits.sweep_late_seconds)
        self._duties.watch("dispatcher", dispatcher.rounds, limits.dispatcher_late_seconds)
        self._duties.watch("waiters", waiters.rounds, limits.waiters_late_seconds)

    async def check_pipeline(self) -> None:
        """Raise WorkTooOldError if the work of a lane makes no progress."""
        age, limit = self._pipeline.oldest_work_seconds, self._limits.work_age_seconds
        if age > limit:
            message = f"the oldest work is {age:.0f} s old, {limit:g} s allowed"
            raise WorkTooOldError(f"{message}: see transaction_retried in the log for the reason")

    async def check_duties(self) -> None:
        """Raise DutyLateError if a duty has not finished a round in time."""
        await self._duties.check()
