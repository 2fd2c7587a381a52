"""A worker of the raw protocol that says and does exactly what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Self

import grpc
from testkit import eventually
from workflowsystem.type.v1.failure_pb2 import Failure
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

PATIENCE_SECONDS = 10.0
DEFAULT_TYPES = ("noop",)

NO_CLAIMS: list[dict[str, Any]] = [
    {"execution_id": "no-uuid"},
    {"execution_id": ""},
    {"task_id": "a\x00b"},
    {"task_id": ""},
    {"task_id": "x" * 64},
]
"""Changes that make a reference one that can name no claim."""


def hello(
    worker_id: str = "worker-1",
    types: Sequence[str] = DEFAULT_TYPES,
    *,
    queues: Sequence[str] = (),
    slots: int = 100,
    namespace: str = "",
    boot_id: str = "",
) -> pb.Hello:
    return pb.Hello(
        worker_id=worker_id,
        boot_id=boot_id or f"boot of {worker_id}",
        task_types=types,
        queues=queues,
        slots=slots,
        namespace=namespace,
    )


class ScriptedWorker:
    """Use it as a context: the session is open inside, and half-closed or cut at the end."""

    def __init__(self, stub: Any, greeting: pb.Hello, credits: int = 0) -> None:
        self._stub = stub
        self._greeting = greeting
        self._credits = credits
        self._heartbeats = 0
        self.welcome: pb.Welcome | None = None
        self.messages: list[pb.OrchestratorMessage] = []
        self.waiting: asyncio.Queue[task_pb2.Lease] = asyncio.Queue()
        self.granted = credits
        self.out = 0  # leases that came and have no result yet
        self.most_out = 0

    async def __aenter__(self) -> Self:
        self._call = self._stub.Session()
        await self.say(hello=self._greeting)
        first = await asyncio.wait_for(self._call.read(), PATIENCE_SECONDS)
        if first is grpc.aio.EOF:
            raise AssertionError(f"no welcome: {await self._call.code()}, {await self._call.details()}")
        self.welcome = first.welcome
        self._reader = asyncio.create_task(self._read())
        if self._credits:
            await self.say(credits=pb.Credits(amount=self._credits))
        return self

    async def refused(self) -> None:
        """Say hello where that is refused; raises the error."""
        call = self._stub.Session()
        await call.write(pb.WorkerMessage(hello=self._greeting))
        await call.read()

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await asyncio.wait([self._reader], timeout=PATIENCE_SECONDS)

    def cut(self) -> None:
        """The connection breaks."""
        self._call.cancel()

    # -- what it says ---------------------------------------------------------------------------

    async def say(self, **message: Any) -> None:
        await self._call.write(pb.WorkerMessage(**message))

    async def grant(self, amount: int) -> None:
        self.granted += amount
        await self.say(credits=pb.Credits(amount=amount))

    async def succeed(self, *leases: task_pb2.Lease, output: Any = None) -> None:
        await self.report(*(task_pb2.TaskResult(task=lease.task, output=dumped(output)) for lease in leases))

    async def fail(self, lease: task_pb2.Lease, type_: str = "Boom", **fields: Any) -> None:
        failure = Failure(type=type_, message="it broke", **fields)
        await self.report(task_pb2.TaskResult(task=lease.task, failure=failure))

    async def report(self, *results: task_pb2.TaskResult) -> None:
        self.out -= len(results)
        await self.say(results=pb.Results(results=results))

    async def heartbeat(
        self, *leases: task_pb2.Lease, alive: bool = True, progress: bytes | None = None
    ) -> pb.HeartbeatAcks:
        """Renew, and return the acknowledgement."""
        self._heartbeats += 1
        number = self._heartbeats
        beats = [
            task_pb2.TaskHeartbeat(task=lease.task, handler_alive=alive, progress=progress)
            for lease in leases
        ]
        await self.say(heartbeats=pb.Heartbeats(heartbeat_id=number, heartbeats=beats))

        def answered() -> pb.HeartbeatAcks:
            acks = [each for each in self.all("heartbeat_acks") if each.heartbeat_id == number]
            assert acks
            return acks[0]

        return await eventually(answered)

    # -- what it hears --------------------------------------------------------------------------

    async def lease(self) -> task_pb2.Lease:
        """The next lease that was not looked at yet."""
        return await asyncio.wait_for(self.waiting.get(), PATIENCE_SECONDS)

    async def leases(self, count: int) -> list[task_pb2.Lease]:
        return [await self.lease() for _ in range(count)]

    async def ack(self, lease: task_pb2.Lease) -> str:
        """How the result of a lease was taken, for the last time."""

        def answered() -> str:
            statuses = [
                ack.status for acks in self.all("result_acks") for ack in acks.acks if ack.task == lease.task
            ]
            assert statuses
            return task_pb2.ResultStatus.Name(statuses[-1]).removeprefix("RESULT_STATUS_")

        return await eventually(answered, PATIENCE_SECONDS)

    async def stop_of(self, lease: task_pb2.Lease, reason: str, timeout: float = 1.0) -> task_pb2.Cancel:
        """The order to stop the handler of a lease, for a reason (`REVOKED`)."""
        wanted = task_pb2.CancelReason.Value(f"CANCEL_REASON_{reason}")

        def ordered() -> task_pb2.Cancel:
            orders = [
                cancel
                for cancels in self.all("cancels")
                for cancel in cancels.cancels
                if cancel.task == lease.task and cancel.reason == wanted
            ]
            assert orders
            return orders[-1]

        return await eventually(ordered, timeout)

    def all(self, kind: str) -> list[Any]:
        """Every message of a kind that came so far."""
        return [getattr(message, kind) for message in self.messages if message.WhichOneof("message") == kind]

    async def ending(self) -> grpc.StatusCode:
        """The status that the orchestrator ended the session with."""
        code: grpc.StatusCode = await asyncio.wait_for(self._call.code(), PATIENCE_SECONDS)
        return code

    async def hang_up(self) -> None:
        """Say that nothing more will be said."""
        await self._call.done_writing()

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self.messages.append(message)
                kind = message.WhichOneof("message")
                if kind in ("leases", "result_acks"):
                    self._take(getattr(message, kind).leases)
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            return  # the status says why; see `ending`

    def _take(self, leases: Sequence[task_pb2.Lease]) -> None:
        self.out += len(leases)
        self.most_out = max(self.most_out, self.out)
        for lease in leases:
            self.waiting.put_nowait(lease)


def dumped(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def result_of(lease: Any, output: bytes = b"null", **changes: Any) -> task_pb2.TaskResult:
    """A result of the lease; `changes` are fields of its reference."""
    task = task_pb2.TaskRef()
    task.CopyFrom(lease.task)
    for name, value in changes.items():
        setattr(task, name, value)
    return task_pb2.TaskResult(task=task, output=output)
