"""WorkerService: the session of workers, and the unary methods for clients that cannot hold a stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import structlog
from service_kit.errors import (
    DRAINING,
    FIELD_INVALID,
    FieldViolation,
    ServiceError,
    invalid_argument,
    unavailable,
)
from service_kit.rpc.request_check import check
from service_kit.rpc.stream_age import LEAVE_SECONDS
from service_kit.tools.heavy import HeavyThread
from service_kit.tools.ids import new_uuid7
from workflow_contract.limits import MAX_PAYLOAD_BYTES
from workflow_contract.messages import duration
from workflowsystem.worker.v1 import worker_service_pb2 as pb
from workflowsystem.worker.v1 import worker_service_pb2_grpc

from execution_orchestrator.application.starting.known_task_types import TaskTypes
from execution_orchestrator.application.upkeep import metrics
from execution_orchestrator.application.workers.connected_workers import ConnectedWorkers
from execution_orchestrator.application.workers.leases import Leases
from execution_orchestrator.application.workers.live_task_types import LiveTaskTypes
from execution_orchestrator.application.workers.outbox import ReportStatus
from execution_orchestrator.application.workers.reconnects import NAMED_WITHIN, Reconnects
from execution_orchestrator.application.workers.reports import Report, record
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import USUAL_LIMITS as USUAL_OUTBOX
from execution_orchestrator.application.workers.session import OutboxLimits, WorkerIdentity, WorkerSession
from execution_orchestrator.domain.limits import MAX_INLINE_EVALUATION_BYTES
from execution_orchestrator.entrypoints import worker_requests as requests_of
from execution_orchestrator.entrypoints import worker_translate as translate
from execution_orchestrator.entrypoints.worker_messages import agreed_bytes, gathered
from execution_orchestrator.entrypoints.worker_stream import USUAL_LIMITS as USUAL_STREAM
from execution_orchestrator.entrypoints.worker_stream import StreamLimits, WorkerStream

log = structlog.get_logger(__name__)

SERVICE: Final = "/workflowsystem.worker.v1.WorkerService/"
UNCHECKED_METHODS: Final = tuple(SERVICE + name for name in ("Session", "HeartbeatTasks", "ReportTasks"))
"""Methods that check their messages item by item, so that a bad item does not harm the others."""

HELLO_SECONDS: Final = 10.0
"""The longest time that a stream stays open before its Hello."""
DRAIN_SECONDS: Final = 5.0
MIN_WAIT_SECONDS: Final = 0.05
"""LeaseTasks waits at least this long, which is enough for a look into the queue and a claim."""
MAX_RECEIVED_BYTES: Final = 4 * 1024 * 1024
"""The largest message that a worker may send. gRPC accepts a little more."""
MAX_RESULTS: Final = 1_000
MAX_HEARTBEATS: Final = 10_000
MAX_PEER_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """For how long the orchestrator waits for a worker, and what may wait for its stream."""

    hello_seconds: float = HELLO_SECONDS
    leave_seconds: float = LEAVE_SECONDS
    named_within: float = NAMED_WITHIN
    outbox: OutboxLimits = USUAL_OUTBOX
    stream: StreamLimits = USUAL_STREAM


USUAL_LIMITS: Final = SessionLimits()


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """The methods of WorkerService. It registers sessions of workers, and passes their reports on.

    `session_age_seconds` returns the age at which the next session is asked to leave, or None for never.
    """

    def __init__(
        self,
        roster: Roster,
        leases: Leases,
        task_types: TaskTypes,
        live_types: LiveTaskTypes,
        connected: ConnectedWorkers,
        session_age_seconds: Callable[[], float | None] = lambda: None,
        limits: SessionLimits = USUAL_LIMITS,
    ) -> None:
        self._limits = limits
        self._roster = roster
        self._leases = leases
        self._task_types = task_types
        self._live_types = live_types
        self._connected = connected
        self._session_age_seconds = session_age_seconds
        self._reconnects = Reconnects(leases.ttl.total_seconds(), named_within=limits.named_within)
        # Refuse no result: each session waits with one of its outputs at a time.
        self._results = HeavyThread("results", max_waiting_bytes=None)
        self._draining = False

    async def Session(self, requests: AsyncIterator[pb.WorkerMessage], context: Any) -> None:
        if self._draining:
            raise _draining()
        hello = await self._greet(requests)
        worker = await self._offered_by(hello, "hello")
        session = WorkerSession(worker, self._leases.hand_back, limits=self._limits.outbox)
        self._reconnects.begin(session)
        self._add(session)
        session_id = str(new_uuid7())
        self._connected.joined(session, session_id, _peer_of(context))
        leaving = self._leave_in_time(session)
        names = {"worker_id": worker.worker_id, "boot_id": worker.boot_id, "session_id": session_id}
        log.info("worker_connected", slots=worker.slots, **names)
        try:
            parts = (session, self._leases, self._results, context)
            stream = WorkerStream(*parts, agreed_bytes(hello), self._limits.stream)
            with metrics.worker_sessions.track_inprogress():
                await stream.run(self._welcome(session_id), requests)
        finally:
            if leaving is not None:
                leaving.cancel()
            self._roster.remove(session)
            self._reconnects.end(session)
            self._connected.left(session)
            log.info("worker_disconnected", **names)

    def _add(self, session: WorkerSession) -> None:
        self._roster.add(session)
        self._live_types.joined(session)

    async def _greet(self, requests: AsyncIterator[pb.WorkerMessage]) -> pb.Hello:
        seconds = self._limits.hello_seconds
        try:
            async with asyncio.timeout(seconds):
                first = await anext(aiter(requests), None)
        except TimeoutError:
            raise requests_of.out_of_turn(f"Hello must come within {seconds:g} s") from None
        if first is None or first.WhichOneof("message") != "hello":
            raise requests_of.out_of_turn("the first message must be Hello")
        check(first)
        return first.hello

    async def _offered_by(self, hello: pb.Hello, path: str) -> WorkerIdentity:
        """Record the task types that a worker offers, and return who it is. Raise ServiceError for a bad
        type.
        """
        worker = requests_of.identity_of(hello, path)
        await self._task_types.offer(worker.namespace, worker.task_types)
        return worker

    def _welcome(self, session_id: str) -> pb.OrchestratorMessage:
        return pb.OrchestratorMessage(
            welcome=pb.Welcome(
                session_id=session_id,
                lease_ttl=duration(self._leases.ttl),
                maximum_payload_bytes=MAX_PAYLOAD_BYTES,
                maximum_message_bytes=MAX_RECEIVED_BYTES,
            )
        )

    def _leave_in_time(self, session: WorkerSession) -> asyncio.TimerHandle | None:
        seconds = self._session_age_seconds()
        if seconds is None:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._ask_to_leave, session)

    def _ask_to_leave(self, session: WorkerSession) -> None:
        session.ask_to_leave()
        asyncio.get_running_loop().call_later(self._limits.leave_seconds, session.fail, _too_old())

    async def LeaseTasks(self, request: pb.LeaseTasksRequest, context: Any) -> pb.LeaseTasksResponse:
        if self._draining:
            raise _draining()
        worker = await self._offered_by(request.worker, "worker")
        session = WorkerSession(worker, self._leases.hand_back, max_credits=request.max_tasks)
        call = self._connected.called(worker, str(new_uuid7()), _peer_of(context))
        self._add(session)
        session.grant(request.max_tasks)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(request.wait.ToTimedelta().total_seconds(), MIN_WAIT_SECONDS)):
                    await session.filled()
            session.stop_taking()
            await session.settled()  # wait for claims under way: to hand them back would cost twice
            taken = session.take_leases()
            size = agreed_bytes(request.worker)
            leases, _ = next(gathered(map(translate.lease_message, taken), size), ([], 0))
            session.return_unsent(lease.claim for lease in taken[len(leases) :])
        finally:
            self._roster.remove(session)
            self._connected.answered(call)
        return pb.LeaseTasksResponse(leases=leases, lease_ttl=duration(self._leases.ttl))

    async def HeartbeatTasks(
        self, request: pb.HeartbeatTasksRequest, context: Any
    ) -> pb.HeartbeatTasksResponse:
        _check_count("heartbeats", len(request.heartbeats), MAX_HEARTBEATS)
        claims, unreadable = requests_of.claims_of(request.heartbeats)
        ack, cancels = await self._leases.renew(claims)
        stale = [*map(translate.task_ref, ack.stale), *unreadable]
        return pb.HeartbeatTasksResponse(stale=stale, cancels=map(translate.cancel_message, cancels))

    async def ReportTasks(self, request: pb.ReportTasksRequest, context: Any) -> pb.ReportTasksResponse:
        _check_count("results", len(request.results), MAX_RESULTS)
        reports = [requests_of.report_of(result) for result in request.results]
        readable = [each for each in reports if isinstance(each, Report)]
        for each in readable:
            if (size := requests_of.output_chars(each)) > MAX_INLINE_EVALUATION_BYTES:
                await self._results.run(size, requests_of.check_output, each)
        recorded = await asyncio.gather(
            *(record(self._leases, each) for each in readable), return_exceptions=True
        )
        receipts = iter(recorded)
        acks = []
        for report in reports:
            if not isinstance(report, Report):
                acks.append(translate.ack_message(report, ReportStatus.STALE))
                continue
            receipt = next(receipts)
            if isinstance(receipt, BaseException):
                raise receipt  # not recorded: the caller repeats the request, which is harmless
            acks.append(translate.ack_message(report.reference, receipt.status))
        return pb.ReportTasksResponse(acks=acks)

    async def drain(self) -> None:
        """Ask every worker to connect elsewhere, and end the streams of workers that stay."""
        self._draining = True
        sessions = list(self._roster.sessions)
        for session in sessions:
            session.ask_to_leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*(session.ended.wait() for session in sessions))
        for session in sessions:
            session.fail(_draining())


def _check_count(field: str, count: int, limit: int) -> None:
    if not 0 < count <= limit:
        violation = FieldViolation(field, f"must have 1 to {limit:,} items, but has {count:,}")
        raise invalid_argument(
            FIELD_INVALID, f"{field} {violation.description}; split the request", violation
        )


def _peer_of(context: Any) -> str:
    """Return the address of the other end of the connection, as `ipv6:[::1]:51312`."""
    return unquote(context.peer())[:MAX_PEER_CHARACTERS]


def _draining() -> ServiceError:
    return unavailable(DRAINING, "this replica is shutting down: connect again, another one answers")


def _too_old() -> ServiceError:
    message = (
        "the session has reached its maximum age, and the worker did not leave when asked: connect again"
    )
    return unavailable(DRAINING, message)
