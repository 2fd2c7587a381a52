"""An orchestrator for tests of workers: a real gRPC server that gives tasks and records what workers send."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeVar

import grpc
from workflow_contract.limits import MAX_PAYLOAD_BYTES
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.payloads import to_json
from workflow_sdk.testing.results import HandlerResult, result_of
from workflow_sdk.times import duration
from workflow_sdk.worker.attempts import TaskRef, key_of

DEFAULT_TTL_SECONDS = 30.0
DEFAULT_WAIT_SECONDS = 15.0
"""How long a method waits for the worker, unless a test says otherwise."""
_LOOK_SECONDS = 0.005

Found = TypeVar("Found")


class FakeSession:
    """One stream of a worker: what the worker sent, and the way to answer on it."""

    def __init__(self) -> None:
        self.hello: messages.Hello | None = None
        self.open = True
        self.credits = 0
        self.granted: list[int] = []
        self.draining = False
        self.half_closed = False
        self.received: list[messages.WorkerMessage] = []
        self.outgoing: asyncio.Queue[messages.OrchestratorMessage | bytes | BaseException | None] = (
            asyncio.Queue()
        )

    def say(self, **message: Any) -> None:
        """Send a message to the worker; the argument is a field of OrchestratorMessage."""
        self.outgoing.put_nowait(messages.OrchestratorMessage(**message))


class FakeOrchestrator:
    """Gives tasks to workers that connect to `address`, and records their sessions, results and heartbeats.

        async with FakeOrchestrator() as orchestrator:
            worker = Worker(orchestrator.address, tasks=[charge])
            running = asyncio.create_task(worker.run(stop))
            result = await orchestrator.run("orders.charge", {"amount": 5})

    `ttl` is the lease TTL in seconds. A test may change `acknowledges` and `answers_heartbeats` to False, and
    add claims to `stale`, to see what a worker does then.
    """

    def __init__(self, ttl: float = DEFAULT_TTL_SECONDS) -> None:
        self.ttl = ttl
        self.port = 0
        self.max_payload_bytes = MAX_PAYLOAD_BYTES
        self.max_message_bytes = 0
        self.acknowledges = True
        self.answers_heartbeats = True
        self.stale: set[TaskRef] = set()
        self.sessions: list[FakeSession] = []
        self.results: list[task_pb2.TaskResult] = []
        self.result_batches: list[int] = []
        self.heartbeats: list[messages.Heartbeats] = []
        self.waiting: deque[task_pb2.Lease] = deque()
        self._server: grpc.aio.Server | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """The address for `Worker`."""
        return f"127.0.0.1:{self.port}"

    @property
    def session(self) -> FakeSession:
        """The newest session."""
        return self.sessions[-1]

    async def start(self) -> None:
        """Listen: the first time on a free port, later on the same one."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        session = grpc.stream_stream_rpc_method_handler(
            self.Session,
            request_deserializer=messages.WorkerMessage.FromString,
            response_serializer=_bytes_of,
        )
        name = "workflowsystem.worker.v1.WorkerService"
        handler = grpc.method_handlers_generic_handler(name, {"Session": session})
        self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every stream and stop listening, as if the process were killed."""
        if self._server is None:
            return
        for session in self.sessions:
            session.outgoing.put_nowait(None)
        await self._server.stop(0)

    def lease(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """Return a lease of a new task; `options` are fields of Lease and TaskRef, durations in seconds."""
        ref = task_pb2.TaskRef(
            execution_id=options.pop("execution_id", str(uuid.uuid4())),
            task_id=options.pop("task_id", f"task_{next(self._ids)}"),
            item=options.pop("item", None),
            epoch=options.pop("epoch", 1),
            token=options.pop("token", uuid.uuid4().bytes),
        )
        for name in ("start_to_close", "heartbeat_timeout"):
            if name in options:
                options[name] = duration(options[name])
        key = f"{ref.execution_id}/{ref.task_id}"
        fields: dict[str, Any] = {
            "attempt": 1,
            "workflow_id": "orders",
            "namespace": DEFAULT_NAMESPACE,
            "idempotency_key": key,
        }
        return task_pb2.Lease(
            task=ref, task_type=task_type, input=to_json(input, "input"), **(fields | options)
        )

    async def give(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """Give one task to the newest session that has credits for it, as soon as there is one."""
        lease = self.lease(task_type, input, **options)
        await self.give_leases([lease])
        return lease

    def overload(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """Give one more task to the newest session, although the worker has no credits for it."""
        lease = self.lease(task_type, input, **options)
        self.session.say(leases=messages.Leases(leases=[lease]))
        return lease

    async def give_leases(self, leases: list[task_pb2.Lease]) -> None:
        """Give tasks of one type, as far as the session has credits; the others wait for more credits."""
        session = await _eventually(lambda: self._session_for(leases[0].task_type), DEFAULT_WAIT_SECONDS)
        self.waiting += leases
        session.say(leases=messages.Leases(leases=self._affordable(session)))

    def _session_for(self, task_type: str) -> FakeSession:
        """Return the newest session with credits that offers the type; any session if none offered it."""
        open_ones = [s for s in reversed(self.sessions) if s.open and s.credits > 0]
        offered = any(task_type in s.hello.task_types for s in self.sessions if s.hello)
        able = [s for s in open_ones if not offered or (s.hello and task_type in s.hello.task_types)]
        if not able:
            raise AssertionError(f"no session has credits for {task_type}: start a worker that offers it")
        return able[0]

    async def result_of(
        self, lease: task_pb2.Lease, timeout: float = DEFAULT_WAIT_SECONDS
    ) -> task_pb2.TaskResult:
        """Wait for the result that the worker reports for a lease, and return it."""

        def found() -> task_pb2.TaskResult:
            matching = [r for r in self.results if r.task == lease.task]
            if not matching:
                raise AssertionError(
                    f"the worker reported no result of {lease.task.task_id}; it reported {len(self.results)}"
                )
            return matching[0]

        return await _eventually(found, timeout)

    async def run(
        self, task_type: str, input: Any = None, *, timeout: float = DEFAULT_WAIT_SECONDS, **options: Any
    ) -> HandlerResult:
        """Give one task, wait up to `timeout` seconds for its result, and return it in plain Python."""
        lease = await self.give(task_type, input, **options)
        return result_of(await self.result_of(lease, timeout))

    async def connected(self, sessions: int = 1) -> FakeSession:
        """Wait until this number of sessions has been opened; return the newest."""

        def newest() -> FakeSession:
            if len(self.sessions) < sessions:
                raise AssertionError(f"{len(self.sessions)} sessions were opened, not {sessions}")
            return self.session

        return await _eventually(newest, DEFAULT_WAIT_SECONDS)

    def cancel(self, lease: task_pb2.Lease, grace: float = 5.0, revoked: bool = False) -> None:
        """Ask the worker to stop a task: its execution is being cancelled, or its claim is revoked."""
        reason = task_pb2.CANCEL_REASON_REVOKED if revoked else task_pb2.CANCEL_REASON_CANCEL_REQUESTED
        cancel = task_pb2.Cancel(task=lease.task, reason=reason, grace=duration(grace))
        self.session.say(cancels=messages.Cancels(cancels=[cancel]))

    async def Session(  # noqa: N802 - the method's name in the contract
        self, requests: AsyncIterator[messages.WorkerMessage], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.OrchestratorMessage | bytes]:
        """Serve one stream of a worker: the contract's method."""
        session = FakeSession()
        reader = asyncio.create_task(self._read(session, requests))
        try:
            while (message := await session.outgoing.get()) is not None:
                if isinstance(message, BaseException):
                    await context.abort(_code_of(message), str(message))
                else:
                    yield message
        finally:
            session.open = False
            reader.cancel()

    async def _read(self, session: FakeSession, requests: AsyncIterator[messages.WorkerMessage]) -> None:
        async for message in requests:
            session.received.append(message)
            kind = message.WhichOneof("message")
            if kind == "hello":
                session.hello = message.hello
                limit = self.max_payload_bytes
                session.say(
                    welcome=messages.Welcome(
                        session_id="s",
                        lease_ttl=duration(self.ttl),
                        maximum_payload_bytes=limit,
                        maximum_message_bytes=self.max_message_bytes,
                    )
                )
                self.sessions.append(session)
            elif kind == "credits":
                session.granted.append(message.credits.amount)
                session.credits += message.credits.amount
            elif kind == "draining":
                session.draining = True
            elif kind == "heartbeats":
                self._record_heartbeats(session, message.heartbeats)
            elif kind == "results":
                self._record_results(session, message.results)
        session.half_closed = True
        session.outgoing.put_nowait(None)

    def _record_heartbeats(self, session: FakeSession, heartbeats: messages.Heartbeats) -> None:
        self.heartbeats.append(heartbeats)
        if self.answers_heartbeats:
            stale = [h.task for h in heartbeats.heartbeats if key_of(h.task) in self.stale]
            acks = messages.HeartbeatAcks(heartbeat_id=heartbeats.heartbeat_id, stale=stale)
            session.say(heartbeat_acks=acks)

    def _record_results(self, session: FakeSession, results: messages.Results) -> None:
        self.results += results.results
        self.result_batches.append(len(results.results))
        if not session.draining:
            session.credits += sum(not result.without_credit for result in results.results)
        if self.acknowledges:
            acks = [task_pb2.ResultAck(task=r.task, status=self._status(r)) for r in results.results]
            session.say(result_acks=messages.ResultAcks(acks=acks, leases=self._affordable(session)))

    def _status(self, result: task_pb2.TaskResult) -> task_pb2.ResultStatus:
        stale = key_of(result.task) in self.stale
        return task_pb2.RESULT_STATUS_STALE if stale else task_pb2.RESULT_STATUS_RECORDED

    def _affordable(self, session: FakeSession) -> list[task_pb2.Lease]:
        """Return the waiting leases that the session has credits for, and that no other session offers."""
        offered = set(session.hello.task_types) if session.hello else set()
        others = {t for s in self.sessions if s.open and s.hello for t in s.hello.task_types}
        others -= offered
        batch: list[task_pb2.Lease] = []
        passed_over: list[task_pb2.Lease] = []
        while self.waiting and len(batch) < session.credits:
            lease = self.waiting.popleft()
            (passed_over if lease.task_type in others else batch).append(lease)
        self.waiting.extendleft(reversed(passed_over))
        session.credits -= len(batch)
        return batch


def _bytes_of(message: messages.OrchestratorMessage | bytes) -> bytes:
    """Return the message as bytes. Bytes stay as they are, so that a test can send any."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _code_of(error: BaseException) -> grpc.StatusCode:
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    if isinstance(error, TimeoutError):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.UNAVAILABLE


async def _eventually(find: Callable[[], Found], timeout: float) -> Found:
    """Return what `find` returns when it stops raising AssertionError; raise that after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return find()
        except AssertionError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_LOOK_SECONDS)
