"""A small worker without the SDK, which can break one rule of the session on purpose.

    python -m tests.conformance.small_worker [WHAT IT DOES WRONG]

The words are in `test_conformance.py`. It runs one stream at a time and has two slots.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from typing import Any

import grpc
from workflowsystem.type.v1.failure_pb2 import Failure
from workflowsystem.worker.v1 import task_pb2, worker_service_pb2_grpc
from workflowsystem.worker.v1 import worker_service_pb2 as pb

SLOTS = 2
WRONG = sys.argv[1] if len(sys.argv) > 1 else ""


class Worker:
    """The tasks in its hands outlive its streams."""

    def __init__(self) -> None:
        self.boot_id = uuid.uuid4().hex
        self.handlers: dict[bytes, tuple[task_pb2.TaskRef, asyncio.Task[None]]] = {}
        self.unanswered: dict[bytes, task_pb2.TaskResult] = {}
        self.outgoing: asyncio.Queue[pb.WorkerMessage | None] = asyncio.Queue()
        self.renewal_seconds = 1.0
        self.is_stopping = False
        self.done = 0

    async def run(self) -> None:
        """Open one stream after another, until SIGTERM."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        async with grpc.aio.insecure_channel(os.environ["WORKFLOW_ADDRESS"]) as channel:
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            while not self.is_stopping:
                await self.one_stream(stub)
        if WRONG == "exits with 3":
            sys.exit(3)

    async def one_stream(self, stub: Any) -> None:
        """From Hello to the end of the stream."""
        self.outgoing = asyncio.Queue()
        self.say_hello()
        renewing = asyncio.create_task(self.renew())
        call = stub.Session(self.requests())
        try:
            async for message in call:
                self.take(message)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
        finally:
            renewing.cancel()
            call.cancel()

    async def requests(self) -> Any:
        """Yield the messages to send, in order; None closes this side."""
        while (message := await self.outgoing.get()) is not None:
            yield message

    def say_hello(self) -> None:
        """Say who this is."""
        types = ["conformance.echo", "conformance.fail", "conformance.wait"]
        self.say(
            hello=pb.Hello(
                worker_id="small",
                boot_id=uuid.uuid4().hex if WRONG == "changes its boot id" else self.boot_id,
                task_types=types[:2] if WRONG == "forgets a type" else types,
                slots=SLOTS,
            )
        )

    def begin(self) -> None:
        """Grant what is free, and send again what was not answered, one result in each message."""
        free = SLOTS - len(self.handlers) - len(self.unanswered)
        free = SLOTS if WRONG == "forgets what it has in hand" else free
        free += WRONG == "grants too much"
        if free > 0:
            self.say(credits=pb.Credits(amount=free))
        if WRONG == "sends too much":
            self.say(results=pb.Results(results=self.unanswered.values()))
        elif WRONG != "forgets results":
            for result in self.unanswered.values():
                self.say(results=pb.Results(results=[result]))

    def say(self, **message: Any) -> None:
        """Queue a message."""
        self.outgoing.put_nowait(pb.WorkerMessage(**message))

    async def renew(self) -> None:
        """Name every task in hand, again and again."""
        while WRONG != "never renews":
            beats = [
                task_pb2.TaskHeartbeat(task=ref, handler_alive=WRONG != "hides signs of life")
                for ref, _ in self.handlers.values()
            ]
            if beats or WRONG != "is silent without tasks":
                self.say(heartbeats=pb.Heartbeats(heartbeat_id=1, heartbeats=beats))
            await asyncio.sleep(self.renewal_seconds / 3)

    def take(self, message: pb.OrchestratorMessage) -> None:
        """One message of the orchestrator."""
        if message.HasField("welcome"):
            self.begin()
        leases = [*message.leases.leases, *message.result_acks.leases]
        for lease in leases:
            self.handlers[lease.task.token] = (lease.task, asyncio.create_task(self.work(lease)))
        for ack in message.result_acks.acks:
            self.unanswered.pop(ack.task.token, None)
            if WRONG == "fears unknown answers" and ack.status == 99:
                self.outgoing.put_nowait(None)
        for cancel in message.cancels.cancels:
            self.end(cancel.task, revoked=cancel.reason == task_pb2.CANCEL_REASON_REVOKED)
        for stale in message.heartbeat_acks.stale:
            self.end(stale, revoked=True)
        if message.HasField("drain") and WRONG != "ignores drain":
            self.outgoing.put_nowait(None)

    def end(self, task: task_pb2.TaskRef, *, revoked: bool) -> None:
        """Stop a handler."""
        if WRONG == "ignores cancels":
            return
        _, handler = self.handlers.pop(task.token)
        handler.cancel()
        if not revoked or WRONG == "reports what was revoked":
            self.report(task_pb2.TaskResult(task=task, cancelled=task_pb2.TaskCancelled()))
        elif WRONG != "keeps a credit":
            self.say(credits=pb.Credits(amount=1))

    async def work(self, lease: task_pb2.Lease) -> None:
        """Run the handler and report its result."""
        self.done += 1
        if WRONG == "tires" and self.done > SLOTS:
            return
        result = task_pb2.TaskResult(task=lease.task)
        match lease.task_type.removeprefix("conformance."):
            case "echo":
                result.output = b"null" if WRONG == "returns null" else lease.input
            case "fail":
                kind = "Error" if WRONG == "hides types of failures" else json.loads(lease.input)["type"]
                result.failure.CopyFrom(Failure(type=kind, message=json.loads(lease.input)["message"]))
            case _:
                await asyncio.Event().wait()
        del self.handlers[lease.task.token]
        self.report(result)

    def report(self, result: task_pb2.TaskResult) -> None:
        """Send a result, and keep it until it is answered."""
        self.unanswered[result.task.token] = result
        if WRONG == "loses the token":
            result.task.token = b"another"
        self.say(results=pb.Results(results=[result]))

    def stop(self) -> None:
        """Hand back what is in hand, and leave."""
        self.is_stopping = True
        if WRONG != "says no Draining":
            self.say(draining=pb.Draining())
        for ref, handler in self.handlers.values():
            handler.cancel()
            self.report(task_pb2.TaskResult(task=ref, handed_back=task_pb2.TaskHandedBack()))
        self.outgoing.put_nowait(None)


if __name__ == "__main__":
    asyncio.run(Worker().run())
