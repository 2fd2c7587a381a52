"""The lane with a scripted stream: what a session may raise, and what must never end the worker."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from testkit import eventually
from workflow_sdk import task
from workflow_sdk.failures import FailureInfo
from workflow_sdk.task import TaskRegistry
from workflow_sdk.worker.attempts import Attempt
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.child_process import ChildSetup
from workflow_sdk.worker.heartbeats import Heartbeats
from workflow_sdk.worker.lane import Lane
from workflow_sdk.worker.observer import SilentObserver
from workflow_sdk.worker.packing import MAX_MESSAGE_BYTES
from workflow_sdk.worker.session import SessionLostError
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

MANY_TURNS = 100
WELCOME = messages.OrchestratorMessage(welcome=messages.Welcome(lease_ttl=Duration(seconds=30)))


@task("quick")
async def quick(_: Any) -> None:
    return None


class Stream:
    """A stream that welcomes the worker, and then does what the test says."""

    def __init__(self, **behaviour: Callable[..., Awaitable[Any]]) -> None:
        self.written: list[messages.WorkerMessage] = []
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.incoming.put_nowait(WELCOME)
        for name, function in behaviour.items():
            setattr(self, name, function)

    async def write(self, message: messages.WorkerMessage) -> None:
        self.written.append(message)

    async def read(self) -> Any:
        return await self.incoming.get()

    async def done_writing(self) -> None:
        self.incoming.put_nowait(grpc.aio.EOF)

    def cancel(self) -> bool:
        return True

    def done(self) -> bool:
        return True

    async def details(self) -> str:
        return "the server is gone"

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


class Stub:
    """Gives out the streams one after another, and then one that works."""

    def __init__(self, *streams: Stream | Exception) -> None:
        self._streams = list(streams)
        self.last = Stream()
        self.opened = 0

    def Session(self) -> Stream:  # noqa: N802 - the method's name in the contract
        self.opened += 1
        if not self._streams:
            return self.last
        first = self._streams.pop(0)
        if isinstance(first, Exception):
            raise first
        return first


def make_lane() -> Lane:
    hello = messages.Hello(worker_id="w", boot_id="b", task_types=["quick"], slots=10)
    loop = asyncio.get_running_loop()
    return Lane(hello, TaskRegistry([quick], []), ChildPool(1, ChildSetup()), SilentObserver(), loop.time)


@asynccontextmanager
async def running(lane: Lane, stub: Stub) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(lane.run(stub.Session))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def raising(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def fail(*_: Any) -> Any:
        raise error

    return fail


def raising_after_hello(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def write(message: messages.WorkerMessage) -> None:
        if message.WhichOneof("message") != "hello":
            raise error

    return write


ERRORS = [
    asyncio.InvalidStateError("RPC already finished."),
    asyncio.CancelledError(),
    grpc.aio.UsageError("Channel is closed."),
    RuntimeError("nobody expects this"),
    ValueError("nor this"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["at Hello", "at Welcome", "while writing", "while closing"])
async def test_whatever_a_stream_raises_another_session_follows(error: BaseException, where: str) -> None:
    lane = make_lane()
    broken = {
        "at Hello": lambda: Stream(write=raising(error)),
        "at Welcome": lambda: Stream(read=raising(error)),
        "while writing": lambda: Stream(write=raising_after_hello(error)),
        "while closing": lambda: Stream(write=raising_after_hello(error), done_writing=raising(error)),
    }[where]()
    stub = Stub(broken)

    async with running(lane, stub) as task:
        await eventually(lambda: task.done() or (stub.opened == 2 and lane.connected), 15)
        assert not task.done()


async def test_a_stream_that_can_not_even_be_opened_is_a_lost_session() -> None:
    lane = make_lane()
    async with running(lane, Stub(RuntimeError("no channel"))) as task:
        await eventually(lambda: task.done() or lane.connected)
        assert not task.done()


async def test_the_reason_of_a_stream_that_ended_is_shown() -> None:
    lane = make_lane()
    broken = Stream(write=raising(asyncio.InvalidStateError("RPC already finished.")))
    stub = Stub(broken)
    stub.last.incoming = asyncio.Queue()  # the next one does not answer, so the problem stays to be seen
    async with running(lane, stub):
        await eventually(lambda: "the server is gone" in lane.problem)


async def test_an_unexpected_error_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lane = make_lane()
    same = [Stream(write=raising(RuntimeError("a defect"))) for _ in range(3)]
    with caplog.at_level(logging.DEBUG, logger="workflow_sdk.worker"):
        async with running(lane, Stub(*same)):
            await eventually(lambda: lane.connected)
    logged = [record for record in caplog.records if getattr(record, "event", "") == "session_failed"]

    assert len(logged) == 1
    assert logged[0].exc_info is not None


async def test_a_cancelled_lane_ends() -> None:
    lane = make_lane()
    async with running(lane, Stub()) as task:
        await eventually(lambda: lane.connected)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_renewal_of_leases_that_fails_starts_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it handlers would outlive their leases."""
    fail_first(monkeypatch, Heartbeats, "run")
    lane = make_lane()
    stub = Stub()
    async with running(lane, stub) as task:
        await eventually(lambda: task.done() or any(m.HasField("heartbeats") for m in stub.last.written))
        assert not task.done()

    assert "background_work_failed" in {getattr(record, "event", "") for record in caplog.records}


async def test_a_lane_whose_connecting_fails_connects_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_first(monkeypatch, Lane, "_keep_connected")
    lane = make_lane()
    async with running(lane, Stub()) as task:
        await eventually(lambda: task.done() or lane.connected)
        assert not task.done()

    assert "background_work_failed" in {getattr(record, "event", "") for record in caplog.records}


def fail_first(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> None:
    """Make the first call of an asynchronous method fail."""
    calls = itertools.count()
    original = getattr(owner, method)

    async def replaced(*args: Any) -> Any:
        if next(calls) == 0:
            raise RuntimeError("it fails")
        return await original(*args)

    monkeypatch.setattr(owner, method, replaced)


async def test_a_defect_in_one_look_does_not_end_the_renewal_of_leases(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    def look(_: Heartbeats) -> None:
        nonlocal looks
        looks += 1
        raise RuntimeError("a defect")

    monkeypatch.setattr(Heartbeats, "_stop_expired", look)
    monkeypatch.setattr(Heartbeats, "_interval", lambda _: 0.005)
    lane = make_lane()
    async with running(lane, Stub()) as task:
        await eventually(lambda: task.done() or looks >= 3)
        assert not task.done()
    assert "heartbeats_failed" in {getattr(record, "event", "") for record in caplog.records}


async def test_a_lease_counts_from_the_sending_of_its_heartbeat_and_not_from_the_answer() -> None:
    """A slow answer must not let a handler outlive its lease."""
    now = 100.0
    lane = make_lane()
    heartbeats = lane._heartbeats
    heartbeats._monotonic = lambda: now
    attempt = _attempt()
    lane._attempts.add(attempt)
    heartbeats.begin_session(30.0, MAX_MESSAGE_BYTES)
    heartbeats._send_what_is_due()
    (message,) = lane._outbox._heartbeats
    now = 115.0  # the acknowledgement takes half a TTL

    heartbeats.acknowledged(message.heartbeat_id, [])

    assert attempt.deadline == 100.0 + 0.8 * 30.0


async def test_a_draining_lane_waits_until_its_last_results_are_acknowledged() -> None:
    lane = make_lane()
    attempt = _attempt()
    result = task_pb2.TaskResult(task=attempt.lease.task, output=b"1")
    stub = Stub()

    async with running(lane, stub):
        await eventually(lambda: lane.connected)
        lane._outbox.add_result(attempt, result)
        draining = asyncio.create_task(lane.drain(0.0))
        await eventually(lambda: any(m.HasField("draining") for m in stub.last.written))
        for _ in range(MANY_TURNS):
            await asyncio.sleep(0)
        assert not draining.done()
        assert lane.connected
        ack = task_pb2.ResultAck(task=attempt.lease.task, status=task_pb2.RESULT_STATUS_RECORDED)
        stub.last.incoming.put_nowait(
            messages.OrchestratorMessage(result_acks=messages.ResultAcks(acks=[ack]))
        )

        await asyncio.wait_for(draining, 10)

        assert lane.processed == 1


@pytest.mark.parametrize("status", [task_pb2.RESULT_STATUS_UNDECIDED, 99])
async def test_a_result_that_was_not_recorded_is_dropped_and_does_not_count(status: int) -> None:
    """99: a status of a later release."""
    lane = make_lane()
    attempt = _attempt()
    stub = Stub()

    async with running(lane, stub):
        await eventually(lambda: lane.connected)
        lane._outbox.add_result(attempt, task_pb2.TaskResult(task=attempt.lease.task, output=b"1"))
        acks = messages.ResultAcks(acks=[task_pb2.ResultAck(task=attempt.lease.task, status=status)])  # type: ignore[arg-type]
        stub.last.incoming.put_nowait(messages.OrchestratorMessage(result_acks=acks))
        await eventually(lambda: len(lane._outbox) == 0)

        assert lane.processed == 0


def _attempt() -> Attempt:
    ref = task_pb2.TaskRef(execution_id="e", task_id="t", epoch=1)
    return Attempt(task_pb2.Lease(task=ref, task_type="quick"), 0.0, 100.0, lambda *_: None)


async def test_a_failure_that_cannot_be_written_is_reported_as_another_one() -> None:
    """Half of a surrogate pair is no text for protobuf. Without a result, the task would wait in vain."""
    lane = make_lane()
    attempt = _attempt()
    lane._attempts.add(attempt)
    lane._executor._end(attempt, FailureInfo("Broken", "\ud800"))
    ((_, result),) = lane._outbox._unacknowledged.values()

    assert result.failure.type == "UnicodeEncodeError"


async def test_a_worker_says_that_nobody_answers_also_after_a_session_that_ended_in_good_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = Stream()
    lane = make_lane()
    stub = Stub(ended, SessionLostError("nobody listens"), SessionLostError("nobody listens"))

    with caplog.at_level(logging.WARNING, logger="workflow_sdk.worker"):
        async with running(lane, stub):
            await eventually(lambda: lane.connected)
            ended.incoming.put_nowait(grpc.aio.EOF)
            await eventually(lambda: stub.opened == 4)

    assert [getattr(record, "event", "") for record in caplog.records] == ["session_lost"]
    assert "does not answer (nobody listens)" in caplog.text
