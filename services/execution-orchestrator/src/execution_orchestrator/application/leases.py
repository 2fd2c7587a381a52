"""What workers do with their claims: report and renew. The stream and the unary methods both come through
here.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from prometheus_client import Counter

from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.ports import HeartbeatClaim, Store
from execution_orchestrator.application.sessions import Claim, HeartbeatAck, Stop, StopReason, WorkerSession
from execution_orchestrator.application.work import CommandWork, ExecutionNotFoundError, WorkResult
from execution_orchestrator.domain.commands import Outcome as ReportOutcome
from execution_orchestrator.domain.commands import ReportTask, Succeeded
from execution_orchestrator.domain.decision import Outcome

stale_reports = Counter(
    "workflow_stale_reports_total", "Results of claims that were over; they changed nothing."
)


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
        """Record a result; see `outcome_of` for what comes back. Raises ServiceError OVERLOADED.

        The output is parsed and checked here, before the transaction: no other command waits for that.
        """
        if isinstance(outcome, Succeeded):
            _ = outcome.checked
        command = ReportTask(claim.key, claim.epoch, outcome)
        return self._pipeline.submit(CommandWork(claim.execution_id, command, claimant=session))

    @staticmethod
    def outcome_of(done: "asyncio.Future[WorkResult]") -> Outcome:
        """How a result was taken. Raises what kept it from being recorded: report it again then."""
        error = done.exception()
        if isinstance(error, ExecutionNotFoundError):
            stale_reports.inc()
            return Outcome.STALE
        if error is not None:
            raise error
        outcome = done.result().outcome
        if outcome is Outcome.STALE:
            stale_reports.inc()
        return outcome

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
