"""What a worker and an orchestrator agree on, and what a worker does with messages that it cannot use."""

import asyncio
import time
from typing import Any

import pytest
from testkit import eventually
from workflow_sdk import TaskContext, task
from workflow_sdk.testing import FakeOrchestrator, FakeSession
from workflow_sdk.times import duration
from workflow_sdk.worker.executor import Executor
from workflow_sdk.worker.observer import SilentObserver
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from tests.integration.sdk.conftest import StartWorker

LEAST_MESSAGE_BYTES = 1536 * 1024

UNREADABLE_LEASE = b"\x12\x05\x0a\x03\x12\x01\xff"
"""Leases with one lease, whose task type is not UTF-8."""
UNKNOWN_MESSAGE = b"\xfa\x01\x00"
"""A field 31, which a later release may have added."""


@task("echo")
async def echo(value: Any) -> Any:
    return value


async def goes_on(orchestrator: FakeOrchestrator, session: FakeSession) -> None:
    """The session runs a task, and no other session was opened."""
    result = await orchestrator.result_of(await orchestrator.give("echo", "still here"))
    assert result.output == b'"still here"'
    assert session.open
    assert orchestrator.sessions == [session]


# -- sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "largest"), [(0, 2 * 1024 * 1024), (LEAST_MESSAGE_BYTES,) * 2])
async def test_results_are_split_by_the_size_that_the_orchestrator_can_receive(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, limit: int, largest: int
) -> None:
    """At 900 KB two results fit into 2 MiB, and one into 1.5 MiB. 0: the orchestrator does not say."""
    orchestrator.max_message_bytes = limit
    go = asyncio.Event()

    @task("large")
    async def large(_: Any) -> str:
        await go.wait()
        return "x" * 900_000

    running = await start_worker(large, slots=3)
    session = await orchestrator.connected()
    leases = [await orchestrator.give("large") for _ in range(3)]
    await eventually(lambda: running.worker.status.busy == 3)
    go.set()
    for lease in leases:
        await orchestrator.result_of(lease)
    assert max(message.ByteSize() for message in session.received) <= largest
    assert max(orchestrator.result_batches) == (2 if limit == 0 else 1)


async def test_a_worker_says_how_much_it_can_receive(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(echo)
    session = await orchestrator.connected()

    assert session.hello is not None
    assert session.hello.maximum_message_bytes == 64 * 1024 * 1024


# -- signs of life ------------------------------------------------------------------------------------


async def test_a_worker_without_tasks_sends_heartbeats(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    orchestrator.ttl = 3.0
    await start_worker(echo)
    await orchestrator.connected()
    await eventually(lambda: len(orchestrator.heartbeats) >= 4, 15)

    assert not any(each.heartbeats for each in orchestrator.heartbeats)
    assert len({each.heartbeat_id for each in orchestrator.heartbeats}) == len(orchestrator.heartbeats)


async def test_a_long_lease_does_not_silence_the_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """The clock of the worker is a hundred times as fast as that of the test."""
    orchestrator.ttl = 3600.0
    await start_worker(echo, monotonic=lambda: 100.0 * time.monotonic())
    await eventually(lambda: len(orchestrator.heartbeats) >= 4, 15)


async def test_a_worker_without_tasks_leaves_an_orchestrator_that_fell_silent(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    orchestrator.ttl = 2.0
    orchestrator.answers_heartbeats = False
    await start_worker(echo)
    await orchestrator.connected(2)


# -- what the worker cannot use ---------------------------------------------------------------------------


@pytest.mark.parametrize("message", [UNKNOWN_MESSAGE, UNREADABLE_LEASE, b"\xff\xff\xff"])
async def test_a_message_that_the_worker_cannot_use_does_not_end_the_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, message: bytes
) -> None:
    await start_worker(echo)
    session = await orchestrator.connected()
    session.outgoing.put_nowait(message)
    await goes_on(orchestrator, session)


async def test_after_a_message_that_could_not_be_read_a_new_session_has_all_credits(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """The leases in it took credits that no result gives back."""
    orchestrator.ttl = 2.0
    await start_worker(echo, slots=5)
    session = await orchestrator.connected()
    session.outgoing.put_nowait(UNREADABLE_LEASE)
    again = await orchestrator.connected(2)
    await eventually(lambda: again.granted == [5])


def bad_leases(orchestrator: FakeOrchestrator) -> dict[str, tuple[task_pb2.Lease, str]]:
    """Leases that are wrong, and the type of the failure that is reported of them."""
    not_json = orchestrator.lease("echo")
    not_json.input = b'{"a": '
    not_text = orchestrator.lease("echo")
    not_text.input = b'"\xff"'
    return {
        "not JSON": (not_json, "JSONDecodeError"),
        "not UTF-8": (not_text, "UnicodeDecodeError"),
        "unknown type": (orchestrator.lease("nobody.has.this"), "UnknownTaskType"),
        "breaks the SDK": (orchestrator.lease("echo", task_id="broken"), "RuntimeError"),
    }


@pytest.mark.parametrize("what", ["not JSON", "not UTF-8", "unknown type", "breaks the SDK"])
async def test_a_bad_lease_fails_alone(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = Executor._launch

    def launch(self: Executor, attempt: Any) -> None:
        if attempt.lease.task.task_id == "broken":
            raise RuntimeError("a defect")
        original(self, attempt)

    monkeypatch.setattr(Executor, "_launch", launch)
    await start_worker(echo)
    session = await orchestrator.connected()
    bad, failure_type = bad_leases(orchestrator)[what]
    before, after = orchestrator.lease("echo", 1), orchestrator.lease("echo", 2)
    session.say(leases=messages.Leases(leases=[before, bad, after]))
    assert (await orchestrator.result_of(bad)).failure.type == failure_type
    assert (await orchestrator.result_of(before)).output == b"1"
    assert (await orchestrator.result_of(after)).output == b"2"
    await goes_on(orchestrator, session)


async def test_an_answer_that_breaks_the_observer_harms_no_other_answer(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    class Broken(SilentObserver):
        def report_refused(self, context: TaskContext, status: str) -> None:
            raise RuntimeError("a defect")

    orchestrator.acknowledges = False
    running = await start_worker(echo, observer=Broken())
    session = await orchestrator.connected()
    leases = [orchestrator.lease("echo", number) for number in range(2)]
    session.say(leases=messages.Leases(leases=leases))
    for lease in leases:
        await orchestrator.result_of(lease)
    statuses = [task_pb2.RESULT_STATUS_STALE, task_pb2.RESULT_STATUS_RECORDED]
    acks = [
        task_pb2.ResultAck(task=lease.task, status=status)
        for lease, status in zip(leases, statuses, strict=True)
    ]
    session.say(result_acks=messages.ResultAcks(acks=acks))
    await eventually(lambda: running.worker.status.processed == 1)
    assert orchestrator.sessions == [session]


async def test_a_cancel_with_an_unknown_reason_is_ignored(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """If the claim is over, the answer to the next heartbeat says so."""
    go = asyncio.Event()

    @task("waits")
    async def waits(_: Any) -> str:
        await go.wait()
        return "done"

    await start_worker(waits, echo)
    session = await orchestrator.connected()
    lease = await orchestrator.give("waits")
    await eventually(lambda: any(m.HasField("heartbeats") for m in session.received))
    cancel = task_pb2.Cancel(task=lease.task, reason=99, grace=duration(0))  # type: ignore[arg-type]
    session.say(cancels=messages.Cancels(cancels=[cancel]))
    await goes_on(orchestrator, session)
    go.set()
    assert (await orchestrator.result_of(lease)).output == b'"done"'


async def test_claims_of_one_epoch_with_two_tokens_are_two_tasks(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """As after a fail-over of the database that lost the first claim."""
    go = asyncio.Event()

    @task("waits")
    async def waits(value: Any) -> Any:
        await go.wait()
        return value

    running = await start_worker(waits)
    same = {"execution_id": "9f3c8a2e-0000-4000-8000-000000000000", "task_id": "charge"}
    first = await orchestrator.give("waits", 1, **same)
    second = await orchestrator.give("waits", 2, **same)
    await eventually(lambda: running.worker.status.busy == 2)
    go.set()
    assert (await orchestrator.result_of(first)).output == b"1"
    assert (await orchestrator.result_of(second)).output == b"2"
