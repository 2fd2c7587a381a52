"""A scripted orchestrator: a real aio server that gives leases and remembers what workers say."""

import asyncio
import itertools
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from testkit import eventually
from workflow_sdk.worker.attempts import TaskRef, key_of
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

DEFAULT_TTL_SECONDS = 30.0


class FakeSession:
    """What one stream said, and the way to answer on it."""

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
        self.outgoing.put_nowait(messages.OrchestratorMessage(**message))


class FakeOrchestrator:
    """Give it leases; read `results`, `heartbeats` and `sessions`."""

    def __init__(self, ttl: float = DEFAULT_TTL_SECONDS) -> None:
        self.ttl = ttl
        self.port = 0
        self.maximum_payload_bytes = 1024 * 1024
        self.maximum_message_bytes = 0
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

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def session(self) -> FakeSession:
        return self.sessions[-1]

    async def start(self) -> None:
        """Listen: the first time at a free port, then at the same one."""
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
        """Break every stream and stop listening, as a kill would."""
        assert self._server is not None
        for session in self.sessions:
            session.outgoing.put_nowait(None)
        await self._server.stop(0)

    def lease(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """A lease of a new task; `options` are fields of Lease and TaskRef, times in seconds."""
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
        fields = {"attempt": 1, "workflow_id": "orders", "namespace": "default", "idempotency_key": key}
        return task_pb2.Lease(
            task=ref, task_type=task_type, input=json.dumps(input).encode(), **(fields | options)
        )

    async def give(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """Lease one task to the newest session as soon as that has credits."""
        lease = self.lease(task_type, input, **options)
        await self.give_leases([lease])
        return lease

    def overload(self, task_type: str, input: Any = None, **options: Any) -> task_pb2.Lease:
        """Lease one task more to the newest session, though the worker has not asked for it."""
        lease = self.lease(task_type, input, **options)
        self.session.say(leases=messages.Leases(leases=[lease]))
        return lease

    async def give_leases(self, leases: list[task_pb2.Lease]) -> None:
        """Lease tasks of one type as credits allow; what is over waits for more."""
        session = await eventually(lambda: self._session_for(leases[0].task_type), 15)
        self.waiting += leases
        session.say(leases=messages.Leases(leases=self._affordable(session)))

    def _session_for(self, task_type: str) -> FakeSession:
        """The newest open session that has room for such a task; any, where nobody offered the type."""
        open_ones = [s for s in reversed(self.sessions) if s.open and s.credits > 0]
        offered = any(task_type in s.hello.task_types for s in self.sessions if s.hello)
        able = [s for s in open_ones if not offered or (s.hello and task_type in s.hello.task_types)]
        assert able, f"no session with credits for {task_type}"
        return able[0]

    async def result_of(self, lease: task_pb2.Lease, timeout: float = 10.0) -> task_pb2.TaskResult:
        """The result that the worker reported for a lease."""

        def found() -> task_pb2.TaskResult:
            matching = [r for r in self.results if r.task == lease.task]
            assert matching, f"no result of {lease.task.task_id}; there are {len(self.results)}"
            return matching[0]

        return await eventually(found, timeout)

    async def connected(self, sessions: int = 1) -> FakeSession:
        """Wait until so many sessions have been opened, and the last has said its credits."""
        await eventually(lambda: len(self.sessions) >= sessions)
        return self.session

    def cancel(self, lease: task_pb2.Lease, grace: float = 5.0, revoked: bool = False) -> None:
        """Tell the worker to stop a task."""
        reason = task_pb2.CANCEL_REASON_REVOKED if revoked else task_pb2.CANCEL_REASON_CANCEL_REQUESTED
        cancel = task_pb2.Cancel(task=lease.task, reason=reason, grace=duration(grace))
        self.session.say(cancels=messages.Cancels(cancels=[cancel]))

    async def Session(  # noqa: N802 - the method's name in the contract
        self, requests: AsyncIterator[messages.WorkerMessage], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.OrchestratorMessage | bytes]:
        session = FakeSession()
        reader = asyncio.create_task(self._read(session, requests))
        try:
            while (message := await session.outgoing.get()) is not None:
                if isinstance(message, BaseException):
                    await context.abort(_code_of(message), str(message))
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
                limit = self.maximum_payload_bytes
                session.say(
                    welcome=messages.Welcome(
                        session_id="s",
                        lease_ttl=duration(self.ttl),
                        maximum_payload_bytes=limit,
                        maximum_message_bytes=self.maximum_message_bytes,
                    )
                )
                self.sessions.append(session)
            elif kind == "credits":
                session.granted.append(message.credits.amount)
                session.credits += message.credits.amount
            elif kind == "draining":
                session.draining = True
            elif kind == "heartbeats":
                self._take_heartbeats(session, message.heartbeats)
            elif kind == "results":
                self._take_results(session, message.results)
        session.half_closed = True
        session.outgoing.put_nowait(None)

    def _take_heartbeats(self, session: FakeSession, heartbeats: messages.Heartbeats) -> None:
        self.heartbeats.append(heartbeats)
        if self.answers_heartbeats:
            stale = [h.task for h in heartbeats.heartbeats if key_of(h.task) in self.stale]
            acks = messages.HeartbeatAcks(heartbeat_id=heartbeats.heartbeat_id, stale=stale)
            session.say(heartbeat_acks=acks)

    def _take_results(self, session: FakeSession, results: messages.Results) -> None:
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
        """The waiting leases that the session has credits for, of types that it offers (or nobody)."""
        assert session.hello is not None
        others = {t for s in self.sessions if s.open and s.hello for t in s.hello.task_types}
        others -= set(session.hello.task_types)
        batch: list[task_pb2.Lease] = []
        passed_over: list[task_pb2.Lease] = []
        while self.waiting and len(batch) < session.credits:
            lease = self.waiting.popleft()
            (passed_over if lease.task_type in others else batch).append(lease)
        self.waiting.extendleft(reversed(passed_over))
        session.credits -= len(batch)
        return batch


def _bytes_of(message: messages.OrchestratorMessage | bytes) -> bytes:
    """Bytes are sent as they are: they may be no message at all."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _code_of(error: BaseException) -> grpc.StatusCode:
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    if isinstance(error, TimeoutError):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.UNAVAILABLE


def duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
