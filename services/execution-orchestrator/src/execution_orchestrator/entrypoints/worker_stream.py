"""One session of a worker, from Welcome to its end. One loop reads the stream, and another writes it.

A lease counts as sent when gRPC has taken its message. If the write fails, or the session ends before, the
worker surely never saw the lease, and the session hands it back at once. A message that gRPC has taken may
still be lost with the connection. The orchestrator learns this when the worker connects again (see
`application/workers/reconnects.py`), or when the lease expires.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from service_kit.errors import ServiceError
from service_kit.tools.heavy import HeavyThread
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from execution_orchestrator.application.ports.store import HeartbeatClaim
from execution_orchestrator.application.workers.leases import Leases
from execution_orchestrator.application.workers.outbox import HeartbeatAck, Outbox
from execution_orchestrator.application.workers.reports import PATIENCE_SECONDS, Report, Reports
from execution_orchestrator.application.workers.session import WorkerSession, not_read
from execution_orchestrator.domain.limits import MAX_INLINE_EVALUATION_BYTES
from execution_orchestrator.entrypoints import worker_requests as requests_of
from execution_orchestrator.entrypoints.worker_messages import messages

log = structlog.get_logger(__name__)

MAX_OPEN_HEARTBEATS: Final = 8
"""Messages of heartbeats of one session that have no answer yet. At this limit the session stops reading.
"""

LAST_WORDS_SECONDS: Final = 2.0
"""The longest time that a session that ends takes to write its last acknowledgements."""

MIN_WRITE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """For how long one stream waits: for a message to be taken, and for a result to be recorded."""

    write_seconds: float = MIN_WRITE_SECONDS
    report_seconds: float = PATIENCE_SECONDS


USUAL_LIMITS: Final = StreamLimits()


class WorkerStream:
    """A session and its stream. `max_bytes` is the size of the largest message to the worker."""

    def __init__(
        self,
        session: WorkerSession,
        leases: Leases,
        thread: HeavyThread,
        context: Any,
        max_bytes: int,
        limits: StreamLimits = USUAL_LIMITS,
    ) -> None:
        self._session = session
        self._max_bytes = max_bytes
        self._thread = thread
        self._leases = leases
        self._context = context
        self._reports = Reports(leases, session, limits.report_seconds)
        self._renewals: set[asyncio.Task[None]] = set()
        # Half a TTL: leases in a message that nobody reads are handed back before they expire.
        self._write_seconds = max(leases.ttl.total_seconds() / 2, limits.write_seconds)

    async def run(self, welcome: pb.OrchestratorMessage, requests: AsyncIterator[pb.WorkerMessage]) -> None:
        """Return when the session has ended normally. Otherwise raise the error that ended it."""
        session = self._session
        reader = asyncio.create_task(self._read(requests))
        writer = asyncio.create_task(self._write(welcome))
        try:
            await session.ended.wait()
            await asyncio.wait([writer], timeout=LAST_WORDS_SECONDS)
            if session.failure is not None:
                raise session.failure
        finally:
            session.close()
            self._reports.close()
            for task in (reader, writer, *self._renewals):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    # -- sending --------------------------------------------------------------------------------

    async def _write(self, welcome: pb.OrchestratorMessage) -> None:
        session = self._session
        try:
            await self._write_one(welcome)
            while outbox := await session.next_outbox():
                await self._send(outbox)
        except TimeoutError:
            session.fail(not_read())
        except ServiceError as error:
            session.fail(error)
        except Exception as error:  # the stream is gone, and a living worker connects again
            log.info("worker_stream_broken", worker_id=session.worker_id, error=repr(error))
        finally:
            session.close()

    async def _send(self, outbox: Outbox) -> None:
        sent = 0
        try:
            for message, leases in messages(outbox, self._max_bytes):
                await self._write_one(message)
                sent += leases
        finally:
            self._session.return_unsent(lease.claim for lease in outbox.leases[sent:])
            self._session.sent(outbox.leases)

    async def _write_one(self, message: pb.OrchestratorMessage) -> None:
        async with asyncio.timeout(self._write_seconds):
            await self._context.write(message)

    # -- reading --------------------------------------------------------------------------------

    async def _read(self, requests: AsyncIterator[pb.WorkerMessage]) -> None:
        try:
            async for message in requests:
                self._session.last_message_time = self._leases.wall_time()
                await self._handle(message)
        except Exception as error:
            self._session.fail(error)
        finally:
            self._session.close()

    async def _handle(self, message: pb.WorkerMessage) -> None:
        match message.WhichOneof("message"):
            case "credits":
                self._session.grant(max(0, message.credits.amount))
            case "results":
                await self._record(message.results)
                await self._reports.room()
            case "heartbeats":
                self._renew(message.heartbeats)
                if len(self._renewals) >= MAX_OPEN_HEARTBEATS:
                    await asyncio.wait(self._renewals, return_when=asyncio.FIRST_COMPLETED)
            case "draining":
                self._session.stop_taking()
            case "hello":
                raise requests_of.out_of_turn("Hello comes once, at the beginning")
            case _:
                raise requests_of.unknown_message(message)

    async def _record(self, results: pb.Results) -> None:
        self._session.grant(sum(not result.without_credit for result in results.results))
        for result in results.results:
            report = requests_of.report_of(result)
            if isinstance(report, Report):
                if (size := requests_of.output_chars(report)) > MAX_INLINE_EVALUATION_BYTES:
                    await self._thread.run(size, requests_of.check_output, report)
                self._reports.add(report)
            else:
                self._reports.refuse(report)

    def _renew(self, heartbeats: pb.Heartbeats) -> None:
        if not heartbeats.heartbeats:  # it only shows that the connection works
            self._session.acknowledge_heartbeats(HeartbeatAck(heartbeats.heartbeat_id, []))
            return
        task = asyncio.create_task(self._answer_heartbeats(heartbeats))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _answer_heartbeats(self, heartbeats: pb.Heartbeats) -> None:
        session = self._session
        claims, unreadable = requests_of.claims_of(heartbeats.heartbeats)
        try:
            ack, cancels = await self._leases.renew(claims, heartbeats.heartbeat_id, self._session)
        except Exception as error:  # the worker goes by its own clock if no acknowledgement comes
            log.warning("leases_not_renewed", worker_id=session.worker_id, error=repr(error))
            return
        self._hold(claims, ack)
        session.acknowledge_heartbeats(HeartbeatAck(ack.heartbeat_id, ack.stale, tuple(unreadable)))
        if cancels:
            session.cancel(cancels)

    def _hold(self, claims: list[HeartbeatClaim], ack: HeartbeatAck) -> None:
        stale = set(ack.stale)
        for each in claims:
            if each.claim not in stale:
                self._session.hold(each.claim)
