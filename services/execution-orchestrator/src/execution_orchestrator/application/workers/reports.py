"""The results that workers report. Each gets an answer of its own, and a bad one harms no other.

If Postgres or the pipeline has no room for a result, this replica tries again while the session lasts. So
workers need not report it again, and the session goes on.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog
from service_kit.errors import ServiceError
from service_kit.tools.backoff import Backoff

from execution_orchestrator.application.engine.work import ExecutionLockedError, WorkResult
from execution_orchestrator.application.ports.store import (
    BadDataError,
    RetryTransactionError,
    StoreUnavailableError,
)
from execution_orchestrator.application.workers.leases import Leases, Receipt
from execution_orchestrator.application.workers.outbox import Reference, ReportStatus
from execution_orchestrator.application.workers.session import WorkerSession
from execution_orchestrator.domain.commands import Failed, TaskOutcome
from execution_orchestrator.domain.failure import PAYLOAD_INVALID, Failure
from execution_orchestrator.domain.task import Claim

log = structlog.get_logger(__name__)

MAX_OPEN_REPORTS: Final = 2_000
"""Results of one session that are not recorded yet. Over this limit its stream is not read on."""

PATIENCE_SECONDS: Final = 30.0
"""For how long one result is tried again. Then the session ends, so that the worker may find a replica that
can record it.
"""

MAX_PAUSE_SECONDS: Final = 5.0
"""The longest pause between two tries."""


@dataclass(frozen=True, slots=True)
class Report:
    """A result of a claim."""

    reference: Reference
    claim: Claim
    outcome: TaskOutcome
    rejected: bool = False
    """True if the worker's own result was bad, and `outcome` is a failure in its place."""

    def reject(self, problem: str) -> "Report":
        """Return a report with a failure in place of a result that cannot be stored."""
        failure = Failure(PAYLOAD_INVALID, f"the result cannot be stored: {problem}", non_retryable=True)
        return replace(self, outcome=Failed(failure), rejected=True)

    def answer(self, receipt: Receipt) -> Receipt:
        """Return the answer to the worker if the engine gave this receipt."""
        if self.rejected and receipt.status is ReportStatus.RECORDED:
            return receipt._replace(status=ReportStatus.REJECTED)
        return receipt


async def record(leases: Leases, report: Report, session: WorkerSession | None = None) -> Receipt:
    """Record a result. May be repeated. Raise what kept it from being recorded."""
    done = leases.report(report.claim, report.outcome, session)
    try:
        await asyncio.wait([done])
    except asyncio.CancelledError:
        if session is not None:
            done.add_done_callback(partial(_deliver_next_leases, session))
        raise
    try:
        return report.answer(leases.receipt_of(done))
    except BadDataError as error:
        if report.rejected:
            raise
        return await record(leases, report.reject(str(error)), session)


def _deliver_next_leases(session: WorkerSession, done: "asyncio.Future[WorkResult]") -> None:
    """Deliver the leases that follow from a report whose answer nobody waits for any more."""
    if not done.cancelled() and done.exception() is None:
        for lease in done.result().next_leases:
            session.deliver(lease)


class Reports:
    """The results of one session."""

    def __init__(
        self, leases: Leases, session: WorkerSession, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._patience_seconds = patience_seconds
        self._leases = leases
        self._session = session
        self._open = 0
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def room(self) -> None:
        """Wait until fewer than MAX_OPEN_REPORTS results are open."""
        await self._room.wait()

    def refuse(self, reference: Reference) -> None:
        """Answer a result whose reference can name no claim."""
        self._session.acknowledge(reference, ReportStatus.STALE)

    def add(self, report: Report) -> None:
        """Record a result, and send the worker the answer."""
        self._open += 1
        if self._open >= MAX_OPEN_REPORTS:
            self._room.clear()
        try:
            done = self._leases.report(report.claim, report.outcome, self._session)
        except Exception as error:  # overloaded, or stopping
            self._start(self._try_again(report, error))
        else:
            done.add_done_callback(partial(self._recorded, report))

    def close(self) -> None:
        """Stop all further tries: the worker reports these results on its next session."""
        for task in self._tasks:
            task.cancel()

    def _recorded(self, report: Report, done: "asyncio.Future[WorkResult]") -> None:
        try:
            receipt = self._leases.receipt_of(done)
        except Exception as error:
            self._start(self._try_again(report, error))
        else:
            self._answer(report, report.answer(receipt))

    def _answer(self, report: Report, receipt: Receipt) -> None:
        self._open -= 1
        if self._open < MAX_OPEN_REPORTS:
            self._room.set()
        self._session.settle(report.claim, report.reference, receipt.status, receipt.next_leases)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._session.closed:
            task.cancel()

    async def _try_again(self, report: Report, error: Exception) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience_seconds
        backoff = Backoff(first_seconds=0.2, max_seconds=MAX_PAUSE_SECONDS)
        while not self._session.closed:
            if loop.time() > end and not isinstance(error, ExecutionLockedError):
                self._give_up(report, error)
                return
            if isinstance(error, BadDataError) and not report.rejected:
                report = report.reject(str(error))
            else:
                await asyncio.sleep(backoff.next())
            try:
                receipt = await record(self._leases, report, self._session)
            except Exception as again:
                error = again
            else:
                self._answer(report, receipt)
                return

    def _give_up(self, report: Report, error: Exception) -> None:
        """End the session if another replica may do better. Else drop the result, as it would fail again."""
        log.warning("result_not_recorded", worker_id=self._session.worker_id, error=repr(error))
        if isinstance(error, StoreUnavailableError | RetryTransactionError | ServiceError):
            self._session.fail(error)
        else:
            self._answer(report, Receipt(ReportStatus.UNDECIDED))
