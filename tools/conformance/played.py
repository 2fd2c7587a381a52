"""The simulated orchestrator: it leases the tasks of a rule, and records every message of the worker.

This file checks each message against the rules that always hold; see `Stream.take`. The rules that need a
situation (a cancel, a broken stream, a stop) are in `rules.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import protovalidate
from google.protobuf.duration_pb2 import Duration
from workflowsystem.worker.v1 import task_pb2, worker_service_pb2_grpc
from workflowsystem.worker.v1 import worker_service_pb2 as pb

MAX_MESSAGE_BYTES = 1536 * 1024
"""The largest message that this orchestrator accepts: the smallest limit that the contract allows."""
MAX_PAYLOAD_BYTES = 1024 * 1024
POLL_SECONDS = 0.02


class BrokenRuleError(Exception):
    """The worker breaks a rule; the text says which rule, and what happened."""


class Stream:
    """One stream of the worker."""

    def __init__(self, played: PlayedOrchestrator) -> None:
        self.hello: pb.Hello | None = None
        self.messages: list[pb.WorkerMessage] = []
        self.credits = 0
        self.is_draining = False
        self.is_open = True
        self.is_half_closed = False
        self.heartbeat_times: list[float] = []
        self._played = played
        self._outgoing: asyncio.Queue[pb.OrchestratorMessage | grpc.StatusCode | None] = asyncio.Queue()

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._outgoing.put_nowait(pb.OrchestratorMessage(**message))

    def end(self, code: grpc.StatusCode | None = None) -> None:
        """End the stream: with OK, or as a replica that fails."""
        self._outgoing.put_nowait(code)

    async def run(self, requests: AsyncIterator[pb.WorkerMessage], context: Any) -> None:
        """Serve the stream until one side ends it."""
        reader = asyncio.create_task(self._read(requests))
        try:
            while (message := await self._outgoing.get()) is not None:
                if isinstance(message, grpc.StatusCode):
                    await context.abort(message, "the conformance test ends this stream")
                await context.write(message)
        finally:
            self.is_open = False
            reader.cancel()

    async def _read(self, requests: AsyncIterator[pb.WorkerMessage]) -> None:
        async for message in requests:
            try:
                self.take(message)
            except BrokenRuleError as broken:
                self._played.broken.append(broken)
        self.is_half_closed = True
        self.end()

    def take(self, message: pb.WorkerMessage) -> None:
        """Record the message, and check it against the rules that always hold. Raise BrokenRuleError."""
        self.messages.append(message)
        kind = message.WhichOneof("message")
        self._is_valid(message)
        if (kind == "hello") is not (len(self.messages) == 1):
            raise BrokenRuleError(
                f"Hello is the first message, and only that: message {len(self.messages)} is {kind}"
            )
        match kind:
            case "hello":
                self._greet(message.hello)
            case "credits":
                self._grant(message.credits.amount)
            case "results":
                self._played.results_came(self, message.results)
            case "heartbeats":
                self._played.heartbeats_came(self, message.heartbeats)
            case "draining":
                self.is_draining = True

    def _is_valid(self, message: pb.WorkerMessage) -> None:
        try:
            protovalidate.validate(message)
        except protovalidate.ValidationError as error:
            raise BrokenRuleError(f"every message keeps the rules of its fields: {error}") from None
        if (size := message.ByteSize()) > MAX_MESSAGE_BYTES:
            raise BrokenRuleError(
                f"no message is larger than Welcome.maximum_message_bytes, {MAX_MESSAGE_BYTES:,}:"
                f" one has {size:,} bytes"
            )

    def _greet(self, hello: pb.Hello) -> None:
        self.hello = hello
        self.say(
            welcome=pb.Welcome(
                session_id=uuid.uuid4().hex,
                lease_ttl=duration(self._played.lease_ttl),
                maximum_payload_bytes=MAX_PAYLOAD_BYTES,
                maximum_message_bytes=MAX_MESSAGE_BYTES,
            )
        )
        self._played.greeted(self, hello)

    def _grant(self, amount: int) -> None:
        assert self.hello is not None
        self.credits += amount
        in_hand = len(self._played.in_hand)
        if self.is_draining:
            raise BrokenRuleError("after Draining a worker grants no credits")
        if self.credits + in_hand > self.hello.slots:
            raise BrokenRuleError(
                "credits and tasks in hand are at most the slots: "
                f"{self.credits} credits, {in_hand} tasks in hand, {self.hello.slots} slots"
            )


class PlayedOrchestrator(worker_service_pb2_grpc.WorkerServiceServicer):  # type: ignore[misc]
    """Listens on a free port of the loopback interface. `lease_ttl` is in seconds."""

    def __init__(self, lease_ttl: float) -> None:
        self.lease_ttl = lease_ttl
        self.broken: list[BrokenRuleError] = []
        self.streams: list[Stream] = []
        self.results: list[tuple[Stream, task_pb2.TaskResult]] = []
        self.heartbeats: list[tuple[float, Stream, task_pb2.TaskHeartbeat]] = []
        self.in_hand: dict[str, task_pb2.Lease] = {}
        self.acknowledges = True
        self.ack_status: int = task_pb2.RESULT_STATUS_RECORDED
        self.stale: set[str] = set()
        """The ids of tasks that the answer to the next heartbeat names as stale."""
        self._given: dict[str, task_pb2.TaskRef] = {}
        self._numbers = itertools.count(1)
        self._server = grpc.aio.server()

    async def start(self) -> str:
        """Listen, and return the address."""
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """End every stream at once."""
        await self._server.stop(0)

    async def Session(  # noqa: N802 - the method's name in the contract
        self, requests: AsyncIterator[pb.WorkerMessage], context: Any
    ) -> None:
        """Serve one stream of a worker."""
        stream = Stream(self)
        self.streams.append(stream)
        await stream.run(requests, context)

    async def greeting(self, number: int = 1) -> Stream:
        """Return the stream with this number, from 1, as soon as the worker has sent Hello and credits."""

        def is_there() -> bool:
            return len(self.streams) >= number and self.streams[number - 1].credits > 0

        await self.until(
            is_there, 30, f"a worker opens a stream, says Hello and grants credits (stream {number})"
        )
        return self.streams[number - 1]

    def lease(
        self, task_type: str, value: Any = None, *, heartbeat_timeout: float | None = None
    ) -> task_pb2.Lease:
        """Send one lease on the newest stream. The timeout is in seconds."""
        number = next(self._numbers)
        task = task_pb2.TaskRef(
            execution_id=str(uuid.uuid4()), task_id=f"task_{number}", epoch=1, token=uuid.uuid4().bytes
        )
        lease = task_pb2.Lease(
            task=task,
            task_type=task_type,
            attempt=1,
            input=json.dumps(value).encode(),
            start_to_close=duration(60),
            heartbeat_timeout=None if heartbeat_timeout is None else duration(heartbeat_timeout),
            idempotency_key=f"{task.execution_id}/{task.task_id}",
            workflow_id="conformance",
            namespace="default",
        )
        self._given[task.task_id] = task
        self.in_hand[task.task_id] = lease
        stream = self.streams[-1]
        stream.credits -= 1
        stream.say(leases=pb.Leases(leases=[lease]))
        return lease

    def cancel(self, lease: task_pb2.Lease, reason: int, grace: float = 5.0) -> None:
        """Ask the worker to stop a task."""
        stop = task_pb2.Cancel(task=lease.task, reason=reason, grace=duration(grace))  # type: ignore[arg-type]
        if reason == task_pb2.CANCEL_REASON_REVOKED:
            self.in_hand.pop(lease.task.task_id, None)
        self.streams[-1].say(cancels=pb.Cancels(cancels=[stop]))

    def results_of(self, lease: task_pb2.Lease) -> list[task_pb2.TaskResult]:
        """Return every result of the lease, from all streams."""
        return [result for _, result in self.results if result.task.task_id == lease.task.task_id]

    async def result_of(self, lease: task_pb2.Lease, rule: str, seconds: float = 10.0) -> task_pb2.TaskResult:
        """Return the first result of the lease.

        Raise BrokenRuleError with the rule if none arrives in time.
        """
        await self.until(lambda: bool(self.results_of(lease)), seconds, rule)
        return self.results_of(lease)[0]

    async def until(self, condition: Callable[[], bool], seconds: float, rule: str) -> None:
        """Wait for a condition. Raise BrokenRuleError with the rule if it does not hold in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise BrokenRuleError(f"{rule}: it did not happen within {seconds:g} s")
            await asyncio.sleep(POLL_SECONDS)

    def greeted(self, stream: Stream, hello: pb.Hello) -> None:
        """Compare the Hello with that of the first stream."""
        first = self.streams[0].hello
        if first is not None and first.boot_id != hello.boot_id:
            raise BrokenRuleError(
                f"a process keeps its boot_id: {first.boot_id!r} before, {hello.boot_id!r} on stream "
                f"{self.streams.index(stream) + 1}"
            )

    def results_came(self, stream: Stream, results: pb.Results) -> None:
        """Check and acknowledge results.

        Each gives its credit back unless it keeps it, also a repeated one.
        """
        acks = []
        for result in results.results:
            self.results.append((stream, result))
            self.in_hand.pop(result.task.task_id, None)
            stream.credits += 0 if stream.is_draining or result.without_credit else 1
            acks.append(task_pb2.ResultAck(task=result.task, status=self.ack_status))  # type: ignore[arg-type]
        if self.acknowledges:
            stream.say(result_acks=pb.ResultAcks(acks=acks))
        for result in results.results:
            if result.task != self._given.get(result.task.task_id):
                raise BrokenRuleError(
                    "a result carries the TaskRef of its lease unchanged, the token too: "
                    f"{result.task.task_id} came back as {result.task}"
                )

    def heartbeats_came(self, stream: Stream, heartbeats: pb.Heartbeats) -> None:
        """Record and acknowledge heartbeats."""
        now = time.monotonic()
        stream.heartbeat_times.append(now)
        self.heartbeats += [(now, stream, each) for each in heartbeats.heartbeats]
        stale = [each.task for each in heartbeats.heartbeats if each.task.task_id in self.stale]
        for task in stale:
            self.in_hand.pop(task.task_id, None)
        stream.say(heartbeat_acks=pb.HeartbeatAcks(heartbeat_id=heartbeats.heartbeat_id, stale=stale))


def duration(seconds: float) -> Duration:
    """Return the seconds as a Duration."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
