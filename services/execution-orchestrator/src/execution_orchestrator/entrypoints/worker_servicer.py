"""WorkerService: the session of workers, and the unary methods for clients that can't hold a stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
import structlog
from service_kit.errors import (
    DRAINING,
    FIELD_INVALID,
    FieldViolation,
    ServiceError,
    failed_precondition,
    invalid_argument,
    unavailable,
)
from service_kit.ids import new_uuid7
from service_kit.request_check import check
from workflow.worker.v1 import worker_service_pb2 as pb
from workflow.worker.v1 import worker_service_pb2_grpc

from execution_orchestrator.application.dispatcher import Dispatcher
from execution_orchestrator.application.leases import Leases
from execution_orchestrator.application.ports import HeartbeatClaim
from execution_orchestrator.application.sessions import Claim, WorkerIdentity, WorkerSession
from execution_orchestrator.application.task_types import TaskTypes, is_reserved
from execution_orchestrator.domain.limits import MAX_PAYLOAD_BYTES
from execution_orchestrator.entrypoints import worker_translate as translate

log = structlog.get_logger(__name__)

SESSION_METHOD = "/workflow.worker.v1.WorkerService/Session"
DRAIN_SECONDS = 5.0
MIN_WAIT_SECONDS = 0.05
"""LeaseTasks waits so long at least: for a look into the queue, and a claim."""


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """Speaks with workers. Everything it does goes through the dispatcher and the pipeline."""

    def __init__(self, dispatcher: Dispatcher, leases: Leases, task_types: TaskTypes) -> None:
        self._dispatcher = dispatcher
        self._leases = leases
        self._task_types = task_types
        self._draining = False

    async def Session(
        self, requests: AsyncIterator[pb.WorkerMessage], context: Any
    ) -> AsyncIterator[pb.OrchestratorMessage]:
        """See the contract."""
        if self._draining:
            raise _draining()
        worker = await self._greet(requests)
        session = WorkerSession(worker, self._dispatcher.hand_back)
        self._dispatcher.add(session)
        reader = asyncio.create_task(self._read(session, requests))
        log.info("worker_connected", worker_id=worker.worker_id, boot_id=worker.boot_id, slots=worker.slots)
        try:
            yield self._welcome()
            while outbox := await session.take():
                for message in translate.messages(outbox):
                    yield message
            if session.failure is not None:
                raise session.failure
        finally:
            reader.cancel()
            self._dispatcher.remove(session)
            log.info("worker_disconnected", worker_id=worker.worker_id, boot_id=worker.boot_id)

    async def _greet(self, requests: AsyncIterator[pb.WorkerMessage]) -> WorkerIdentity:
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("message") != "hello":
            raise _out_of_turn("the first message must be Hello")
        check(first)
        worker = _worker(first.hello, "hello")
        await self._task_types.offer(worker.namespace, worker.task_types)
        return worker

    def _welcome(self) -> pb.OrchestratorMessage:
        return pb.OrchestratorMessage(
            welcome=pb.Welcome(
                session_id=str(new_uuid7()),
                lease_ttl=translate.duration(self._leases.ttl),
                maximum_payload_bytes=MAX_PAYLOAD_BYTES,
            )
        )

    async def _read(self, session: WorkerSession, requests: AsyncIterator[pb.WorkerMessage]) -> None:
        try:
            async for message in requests:
                self._take(session, message)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            session.fail(error)
        finally:
            session.close()

    def _take(self, session: WorkerSession, message: pb.WorkerMessage) -> None:
        match message.WhichOneof("message"):
            case "credits":
                check(message)
                session.grant(message.credits.amount)
            case "results":
                self._record(session, message.results)
            case "heartbeats":
                claims = [_heartbeat(each) for each in message.heartbeats.heartbeats]
                number = message.heartbeats.heartbeat_id
                task = asyncio.create_task(self._renew(session, claims, number))
                session.tasks.add(task)
                task.add_done_callback(session.tasks.discard)
            case "draining":
                session.stop_taking()
            case _:
                raise _out_of_turn("Hello comes once, at the beginning")

    def _record(self, session: WorkerSession, results: pb.Results) -> None:
        session.grant(len(results.results))
        for result in results.results:
            claim = _claim(result.task)
            future = self._leases.report(claim, translate.outcome_of(result), session)
            future.add_done_callback(partial(self._acknowledge, session, claim))

    def _acknowledge(self, session: WorkerSession, claim: Claim, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return
        try:
            session.acknowledge(claim, self._leases.outcome_of(done))
        except Exception as error:  # not recorded: without an acknowledgement the worker reports it again
            log.warning("results_not_recorded", worker_id=session.worker_id, error=repr(error))
            session.fail(_not_recorded(error))

    async def _renew(self, session: WorkerSession, claims: list[HeartbeatClaim], heartbeat_id: int) -> None:
        try:
            ack, stops = await self._leases.renew(claims, heartbeat_id, session)
        except Exception as error:  # without an acknowledgement the worker counts on its own clock
            log.warning("leases_not_renewed", worker_id=session.worker_id, error=repr(error))
            return
        stale = set(ack.stale)
        for each in claims:
            claim = Claim(*each[:4])
            if claim not in stale:
                session.hold(claim)
        session.acknowledge_heartbeats(ack)
        if stops:
            session.stop(stops)

    async def LeaseTasks(self, request: pb.LeaseTasksRequest, context: Any) -> pb.LeaseTasksResponse:
        """See the contract."""
        if self._draining:
            raise _draining()
        worker = _worker(request.worker, "worker")
        await self._task_types.offer(worker.namespace, worker.task_types)
        session = WorkerSession(worker, self._dispatcher.hand_back)
        self._dispatcher.add(session)
        session.grant(request.max_tasks)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(request.wait.ToTimedelta().total_seconds(), MIN_WAIT_SECONDS)):
                    await session.filled()
            session.stop_taking()
            await session.settled()  # what is claimed already comes along: handed back it would cost twice
            leases = map(translate.lease_message, session.take_leases())
        finally:
            self._dispatcher.remove(session)
        return pb.LeaseTasksResponse(leases=leases, lease_ttl=translate.duration(self._leases.ttl))

    async def HeartbeatTasks(
        self, request: pb.HeartbeatTasksRequest, context: Any
    ) -> pb.HeartbeatTasksResponse:
        """See the contract."""
        ack, stops = await self._leases.renew([_heartbeat(each) for each in request.heartbeats])
        return pb.HeartbeatTasksResponse(
            stale=map(translate.task_ref, ack.stale), cancels=map(translate.stop_message, stops)
        )

    async def ReportTasks(self, request: pb.ReportTasksRequest, context: Any) -> pb.ReportTasksResponse:
        """See the contract."""
        claims = [_claim(result.task) for result in request.results]
        futures = [
            self._leases.report(claim, translate.outcome_of(result), None)
            for claim, result in zip(claims, request.results, strict=True)
        ]
        await asyncio.wait(futures)
        outcomes = [self._leases.outcome_of(future) for future in futures]
        return pb.ReportTasksResponse(acks=map(translate.ack_message, claims, outcomes))

    async def drain(self) -> None:
        """Ask every worker to go elsewhere, and end the streams of those that stay."""
        self._draining = True
        sessions = list(self._dispatcher.sessions)
        for session in sessions:
            session.ask_to_leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*(session.ended.wait() for session in sessions))
        for session in sessions:
            session.fail(_draining())


def _worker(hello: pb.Hello, path: str) -> WorkerIdentity:
    """Who the worker is. Refuses handlers with the names of what the engine runs itself."""
    reserved = [
        FieldViolation(f"{path}.task_types[{place}]", f"`{task_type}` is run by the engine, not by workers")
        for place, task_type in enumerate(hello.task_types)
        if is_reserved(task_type)
    ]
    if reserved:
        names = "`workflow` and names that begin with `wait.`"
        message = f"{names} are reserved for the engine ({reserved[0].description}); rename the handler"
        raise invalid_argument(FIELD_INVALID, message, *reserved)
    return translate.worker_of(hello)


def _claim(task: Any) -> Claim:
    with _naming_a_claim():
        return translate.claim_of(task)


def _heartbeat(heartbeat: Any) -> HeartbeatClaim:
    with _naming_a_claim():
        return translate.heartbeat_of(heartbeat)


@contextmanager
def _naming_a_claim() -> Iterator[None]:
    try:
        yield
    except ValueError:
        message = "`task` names no claim; send that of the lease, unchanged"
        raise invalid_argument(FIELD_INVALID, message) from None


def _out_of_turn(rule: str) -> ServiceError:
    return failed_precondition("SESSION_PROTOCOL_VIOLATION", f"{rule}; connect again and keep to it")


def _draining() -> ServiceError:
    return unavailable(DRAINING, "this replica is shutting down: connect again, another one answers")


def _not_recorded(error: Exception) -> Exception:
    if isinstance(error, ServiceError):
        return error
    message = "results could not be recorded: connect again and report them again"
    return ServiceError(grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message)
