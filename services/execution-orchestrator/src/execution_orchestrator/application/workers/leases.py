"""Reports and renewals of claims, for the stream of a session and for the unary methods."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from service_kit.errors import ServiceError
from service_kit.tools.clock import Clock

from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import (
    CommandWork,
    ExecutionNotFoundError,
    UndecidableError,
    WorkResult,
)
from execution_orchestrator.application.ports.lease_store import Boot, ConfirmedClaim, LeaseStore
from execution_orchestrator.application.ports.store import HeartbeatClaim, RunKey
from execution_orchestrator.application.workers.named_claims import NamedClaims
from execution_orchestrator.application.workers.outbox import (
    Cancel,
    CancelReason,
    HeartbeatAck,
    ReportStatus,
)
from execution_orchestrator.application.workers.session import WorkerSession
from execution_orchestrator.domain.commands import HandedBack, LoseClaim, ReportTask, Succeeded, TaskOutcome
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.errors import DomainError
from execution_orchestrator.domain.task import Claim, Lease

log = structlog.get_logger(__name__)

CLAIM_PAGE = 1_000
LEASE_RUNS_OUT = "the lease runs out, and the task is READY again"

stale_reports = Counter(
    "workflow_stale_reports_total", "Results of claims that were over; they changed nothing."
)


_STATUS = {
    Effect.APPLIED: ReportStatus.RECORDED,
    Effect.UNCHANGED: ReportStatus.RECORDED,
    Effect.STALE: ReportStatus.STALE,
    Effect.REJECTED: ReportStatus.REJECTED,
}


class Receipt(NamedTuple):
    """The answer to a report."""

    status: ReportStatus
    next_leases: Sequence[Lease] = ()
    """Claimed in the same transaction for the worker that reported: to be sent along with the answer."""


class Leases:
    """Reports and renewals of claims, and claims that no worker saw."""

    def __init__(
        self,
        store: LeaseStore,
        pipeline: Pipeline,
        clock: DatabaseClock,
        process_clock: Clock,
        lease_ttl: timedelta,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._process_clock = process_clock
        self.ttl = lease_ttl

    def wall_time(self) -> datetime:
        """Return the time of day by the clock of this process."""
        return self._process_clock.now()

    def report(
        self, claim: Claim, outcome: TaskOutcome, session: WorkerSession | None
    ) -> "asyncio.Future[WorkResult]":
        """Record a result; `receipt_of` turns the future into the answer. Raise ServiceError OVERLOADED.

        The output is parsed and checked here, before the transaction, so that no other command waits for it.
        """
        if isinstance(outcome, Succeeded):
            _ = outcome.checked
        command = ReportTask(claim.key, claim.epoch, outcome, claim.token)
        namespace = None if session is None else session.worker.namespace
        return self._pipeline.submit(CommandWork(claim.execution_id, command, namespace, session))

    @staticmethod
    def receipt_of(done: "asyncio.Future[WorkResult]") -> Receipt:
        """Return what became of a report. Raise the error that kept it from being recorded."""
        error = done.exception()
        next_leases: tuple[Lease, ...] = ()
        if error is None:
            result = done.result()
            status, next_leases = _STATUS[result.effect], result.next_leases
        elif isinstance(error, ExecutionNotFoundError):
            status = ReportStatus.STALE
        elif isinstance(error, UndecidableError | DomainError):
            status = ReportStatus.UNDECIDED
        else:
            raise error
        if status is ReportStatus.STALE:
            stale_reports.inc()
        return Receipt(status, next_leases)

    def hand_back(self, claim: Claim) -> None:
        """Make a claim READY again that no worker saw. No budget is charged. Raise nothing."""
        report = ReportTask(claim.key, claim.epoch, HandedBack(), claim.token)
        try:
            future = self._pipeline.submit(CommandWork(claim.execution_id, report))
        except ServiceError as error:  # overloaded, or stopping
            log.info("hand_back_failed", error=error.message, next_step=LEASE_RUNS_OUT)
        else:
            future.add_done_callback(_note_failed_hand_back)

    async def renew(
        self,
        heartbeats: Sequence[HeartbeatClaim],
        heartbeat_id: int = 0,
        session: WorkerSession | None = None,
    ) -> tuple[HeartbeatAck, list[Cancel]]:
        """Renew claims. Return the claims that are over, and orders for the handlers that must stop.

        The heartbeats of a session renew the lease of its worker process, and confirm the claims that they
        name. Heartbeats without a session renew each claim alone, because no replica sees all claims that
        such a worker names. May be repeated. Raise StoreUnavailableError.
        """
        boot = None if session is None else _boot_of(session)
        renewed = dict(await self._store.renew(heartbeats, self.ttl, boot))
        if session is not None:
            await self._lose_forgotten(session, renewed)
        now = self._clock.now()
        cancels = [
            Cancel(claim, CancelReason.CANCEL_REQUESTED, max(deadline - now, timedelta()))
            for claim, deadline in renewed.items()
            if deadline is not None
        ]
        stale = [each.claim for each in heartbeats if each.claim not in renewed]
        return HeartbeatAck(heartbeat_id, stale), cancels

    async def _lose_forgotten(self, session: WorkerSession, named_now: Iterable[Claim]) -> None:
        """Once in a lease TTL, lose the confirmed claims that the worker does not name any more."""
        now = self._process_clock.monotonic()
        named = session.named_claims
        if named is None:
            named = session.named_claims = NamedClaims(self.ttl.total_seconds(), now)
        named.add(ConfirmedClaim(claim.execution_id, claim.key, claim.epoch) for claim in named_now)
        if not named.end_span(now):
            return
        for claim in named.forgotten(await self._claims_of(session)):
            log.warning("claim_forgotten", worker_id=session.worker_id, execution_id=str(claim.execution_id))
            command = LoseClaim(claim.key, claim.epoch, session.boot_id, self._clock.now())
            work = CommandWork(claim.execution_id, command, session.worker.namespace)
            try:
                self._pipeline.submit(work).add_done_callback(_note_failure)
            except ServiceError as error:  # overloaded, or stopping: the next spans find it again
                log.warning("claim_not_lost", error=error.message)

    async def _claims_of(self, session: WorkerSession) -> list[ConfirmedClaim]:
        claims: list[ConfirmedClaim] = []
        after: RunKey | None = None
        boot = session.worker.namespace, session.boot_id
        while page := await self._store.claims_of(*boot, after, CLAIM_PAGE):
            claims += page
            if len(page) < CLAIM_PAGE:
                break
            after = (page[-1].execution_id, page[-1].key)
        return claims


def _note_failed_hand_back(done: "asyncio.Future[WorkResult]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.info("hand_back_failed", error=str(error), next_step=LEASE_RUNS_OUT)


def _note_failure(done: "asyncio.Future[WorkResult]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("claim_not_lost", error=repr(error))


def _boot_of(session: WorkerSession) -> Boot:
    return Boot(session.worker.namespace, session.boot_id, session.worker_id)
