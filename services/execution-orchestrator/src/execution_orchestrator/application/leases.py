"""What workers do with their claims: report and renew. The stream and the unary methods both come through
here.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from prometheus_client import Counter

from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.outbox import Claim, HeartbeatAck, ReportStatus, Stop, StopReason
from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.ports import HeartbeatClaim, Store
from execution_orchestrator.application.sessions import WorkerSession
from execution_orchestrator.application.work import (
    CommandWork,
    ExecutionNotFoundError,
    UndecidableError,
    WorkResult,
)
from execution_orchestrator.domain.commands import Outcome as ReportOutcome
from execution_orchestrator.domain.commands import ReportTask
from execution_orchestrator.domain.decision import Outcome
from execution_orchestrator.domain.errors import DomainError

stale_reports = Counter(
    "workflow_stale_reports_total", "Results of claims that were over; they changed nothing."
)


_STATUS = {
    Outcome.APPLIED: ReportStatus.RECORDED,
    Outcome.UNCHANGED: ReportStatus.RECORDED,
    Outcome.STALE: ReportStatus.STALE,
    Outcome.REJECTED: ReportStatus.REJECTED,
}


class Leases:
    """Reports and renewals of claims."""

    def __init__(self, store: Store, pipeline: Pipeline, clock: DatabaseClock, lease_ttl: timedelta) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self.ttl = lease_ttl

    def report(
        self, claim: Claim, outcome: ReportOutcome, session: WorkerSession | None
    ) -> "asyncio.Future[WorkResult]":
        """Record a result; see `status_of` for what comes back. Raises ServiceError OVERLOADED."""
        command = ReportTask(claim.key, claim.epoch, outcome)
        return self._pipeline.submit(CommandWork(claim.execution_id, command, claimant=session))

    @staticmethod
    def status_of(done: "asyncio.Future[WorkResult]") -> ReportStatus:
        """Return what became of a report. Raise the error that kept it from being recorded."""
        error = done.exception()
        if error is None:
            status = _STATUS[done.result().outcome]
        elif isinstance(error, ExecutionNotFoundError):
            status = ReportStatus.STALE
        elif isinstance(error, UndecidableError | DomainError):
            status = ReportStatus.UNDECIDED
        else:
            raise error
        if status is ReportStatus.STALE:
            stale_reports.inc()
        return status

    async def renew(
        self, heartbeats: Sequence[HeartbeatClaim], heartbeat_id: int = 0
    ) -> tuple[HeartbeatAck, list[Stop]]:
        """Prolong claims; says which are over, and which must stop. Raises StoreUnavailableError."""
        asked = [Claim(each.execution_id, each.key, each.epoch) for each in heartbeats]
        renewed = {Claim(*row[:3]): row for row in await self._store.renew_leases(heartbeats, self.ttl)}
        now = self._clock.now()
        stops = [
            Stop(claim, StopReason.CANCEL_REQUESTED, max(row.cancel_deadline - now, timedelta()))
            for claim, row in renewed.items()
            if row.cancel_deadline is not None
        ]
        return HeartbeatAck(heartbeat_id, [claim for claim in asked if claim not in renewed]), stops
