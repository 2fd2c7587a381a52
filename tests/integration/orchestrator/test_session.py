"""The session of workers, over its raw protocol."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import grpc
import pytest
from execution_orchestrator.application.workers.session import WorkerSession
from testkit import eventually
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    plain,
    refusal,
    status_of,
    without_a_safety_net,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}"}
SECOND: dict[str, Any] = {"id": "second", "type": "noop", "needs": ["only"], "input": "${tasks.only.output}"}


async def test_a_worker_takes_a_task_and_its_result_completes_the_execution(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, output="${tasks.only.output.b}")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start({"a": 1})
        lease = await worker.lease()
        assert json.loads(lease.input) == {"a": 1}
        assert (lease.task.execution_id, lease.task.task_id) == (started.execution_id, "only")
        assert (lease.attempt, lease.task_type, lease.workflow_id, lease.namespace) == (
            1,
            "noop",
            "flow",
            "default",
        )
        assert status_of(await service.get(started.execution_id)) == "RUNNING"
        await worker.succeed(lease, output={"b": [1, None, "c"]})
        assert await worker.ack(lease) == "RECORDED"

    done = await service.get(started.execution_id)

    assert (status_of(done), done.final, plain(done.output)) == ("COMPLETED", True, [1, None, "c"])
    assert await service.event_types(started.execution_id) == [
        "EXECUTION_CREATED",
        "EXECUTION_STARTED",
        "TASK_STARTED",
        "TASK_SUCCEEDED",
        "EXECUTION_COMPLETED",
    ]


async def test_a_session_that_does_not_begin_with_hello_is_refused(service: Service) -> None:
    for message in (
        pb.WorkerMessage(credits=pb.Credits(amount=1)),
        pb.WorkerMessage(draining=pb.Draining()),
        pb.WorkerMessage(),
    ):
        call = service.workers.Session()
        await call.write(message)
        error = await refusal(call.read())
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert error.reason == "SESSION_PROTOCOL_VIOLATION"
        assert "connect again" in error.message


async def test_a_second_hello_ends_the_session(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello()) as worker:
        await worker.say(hello=hello())
        assert await worker.ending() == grpc.StatusCode.FAILED_PRECONDITION


def with_limit(maximum_message_bytes: int) -> pb.Hello:
    """Hello of a worker that can receive messages of this size."""
    greeting = hello()
    greeting.maximum_message_bytes = maximum_message_bytes
    return greeting


async def test_a_hello_that_breaks_a_rule_is_refused_by_its_field(service: Service) -> None:
    for field, greeting in (
        ("worker_id", pb.Hello(boot_id="b", task_types=["noop"], slots=1)),
        ("boot_id", pb.Hello(worker_id="w", task_types=["noop"], slots=1)),
        ("task_types", pb.Hello(worker_id="w", boot_id="b", slots=1)),
        ("slots", pb.Hello(worker_id="w", boot_id="b", task_types=["noop"])),
        ("slots", hello(slots=10_001)),
        ("maximum_message_bytes", with_limit(1536 * 1024 - 1)),
        ("maximum_message_bytes", with_limit(-1)),
        ("task_types[0]", hello(types=["Probe T!"])),
        ("queues[0]", hello(queues=["No Queue"])),
        ("namespace", hello(namespace="NO")),
        ("task_types[0]", hello(types=["x" * 129])),
        ("worker_id", hello("w\x00")),
        ("boot_id", hello(boot_id="b\x00")),
    ):
        error = await refusal(ScriptedWorker(service.workers, greeting).refused())
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert error.violations[0].field == f"hello.{field}"
    assert await service.rows("SELECT 1 FROM task_types") == []


async def test_credits_out_of_bounds_do_not_end_the_session(service: Service) -> None:
    """What is more than the slots has no effect, and neither has 0 or less."""
    async with ScriptedWorker(service.workers, hello(slots=7)) as worker:
        for amount, expected in ((0, 0), (3, 3), (-5, 3), (2**31 - 1, 7)):
            await worker.grant(amount)
            await worker.heartbeat()
            (session,) = service.orchestrator.roster.sessions
            assert session.credits == expected


async def test_a_message_of_a_kind_that_is_not_known_is_refused_by_its_number(service: Service) -> None:
    call = service.workers.Session()
    await call.write(pb.WorkerMessage(hello=hello()))
    await call.read()
    await call.write(pb.WorkerMessage.FromString(b"\xfa\x01\x00"))
    error = await refusal(call.read())

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_PROTOCOL_VIOLATION")
    assert "unknown fields: 31" in error.message


async def test_a_result_with_an_outcome_that_is_not_known_is_rejected_by_its_number(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1}})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        result = task_pb2.TaskResult(task=lease.task)
        result.MergeFromString(b"\xfa\x01\x00")
        await worker.report(result)
        assert await worker.ack(lease) == "REJECTED"
        await service.becomes(started.execution_id, "FAILED")

        failure = (await service.get(started.execution_id)).failure

        assert failure.type == "PayloadInvalid"
        assert "unknown fields: 31" in failure.message


async def test_a_result_without_credit_gives_none_back(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(slots=2), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.report(task_pb2.TaskResult(task=lease.task, output=b"1", without_credit=True))
        assert await worker.ack(lease) == "RECORDED"
        (session,) = service.orchestrator.roster.sessions
        assert session.credits == 0
        await service.start()
        await worker.grant(1)
        second = await worker.lease()

        await worker.succeed(second)

        assert await worker.ack(second) == "RECORDED"
        assert session.credits == 1


async def test_heartbeats_without_tasks_are_answered_without_the_database(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def renew(*_: Any) -> Any:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(service.orchestrator.workers._leases, "renew", renew)
    async with ScriptedWorker(service.workers, hello()) as worker:
        assert list((await worker.heartbeat()).stale) == []


async def test_a_session_knows_when_its_worker_sent_its_latest_message(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello()) as worker:
        (session,) = service.orchestrator.roster.sessions
        begin = session.last_message_time
        await worker.heartbeat()

        assert session.last_message_time > begin


async def test_a_token_or_an_id_that_no_claim_can_have_is_stale_and_not_repeated(service: Service) -> None:
    """The answer repeats the reference, so it would be as large as the worker made it."""
    async with ScriptedWorker(service.workers, hello()) as worker:
        for changes in ({"token": b"x" * 70_000}, {"execution_id": "-" * 70_000 + "0" * 32}):
            task = task_pb2.TaskRef(**{"execution_id": str(uuid4()), "task_id": "only", "epoch": 1} | changes)
            before = len(worker.messages)
            await worker.report(task_pb2.TaskResult(task=task, output=b"1"))
            await eventually(lambda n=before: len(worker.messages) > n)
            (ack,) = worker.messages[-1].result_acks.acks
            assert ack.status == task_pb2.RESULT_STATUS_STALE
            assert ack.ByteSize() < 1024


async def test_a_task_that_is_handed_back_goes_to_another_worker_uncharged(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1, "maximum_lost_attempts": 0}})

    async with ScriptedWorker(service.workers, hello("a"), credits=1) as a:
        started = await service.start()
        lease = await a.lease()
        await a.say(draining=pb.Draining())
        await a.report(task_pb2.TaskResult(task=lease.task, handed_back=task_pb2.TaskHandedBack()))
        assert await a.ack(lease) == "RECORDED"
        async with ScriptedWorker(service.workers, hello("b"), credits=1) as b:
            again = await b.lease()
            assert (again.attempt, again.idempotency_key) == (2, lease.idempotency_key)
            assert again.task.epoch > lease.task.epoch
            await b.succeed(again)
            assert await b.ack(again) == "RECORDED"
        assert a.out == 0

    assert "TASK_REQUEUED" in await service.event_types(started.execution_id)


async def test_a_draining_worker_gets_nothing_more(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.say(draining=pb.Draining())
        await worker.succeed(lease)
        await worker.ack(lease)
        await service.start()

        assert await service.queue_length() == 1
        assert worker.out == 0


@without_a_safety_net
async def test_what_a_closed_session_did_not_deliver_goes_back_at_once(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed for a worker that had gone by the time of the commit: uncharged, and at once to another one."""
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1, "maximum_lost_attempts": 0}})
    with monkeypatch.context() as patched:
        patched.setattr(WorkerSession, "next_outbox", _never)  # its stream is stuck: nothing is sent any more
        async with ScriptedWorker(service.workers, hello("gone"), credits=5):
            (session,) = service.orchestrator.roster.sessions
            for _ in range(3):
                await service.start()
            await eventually(lambda: len(session._outbox.leases) == 3)

    async with ScriptedWorker(service.workers, hello("other"), credits=5) as other:
        assert {lease.attempt for lease in await other.leases(3)} == {2}


async def _never(_: WorkerSession) -> Any:
    await asyncio.Event().wait()


async def test_leases_survive_a_broken_stream(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as before:
        started = await service.start()
        lease = await before.lease()

    async with ScriptedWorker(service.workers, hello()) as after:
        assert (await after.heartbeat(lease)).stale == []
        await after.succeed(lease, output=1)
        assert await after.ack(lease) == "RECORDED"

    assert status_of(await service.get(started.execution_id)) == "COMPLETED"


async def test_a_draining_orchestrator_asks_workers_to_leave_and_keeps_their_leases(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        draining = asyncio.create_task(service.orchestrator.workers.drain())
        await eventually(lambda: len(worker.all("drain")) == 1)
        await worker.succeed(lease)
        assert await worker.ack(lease) == "RECORDED"
        worker.cut()
        await draining
    error = await refusal(ScriptedWorker(service.workers, hello()).refused())
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")

    request = pb.LeaseTasksRequest(worker=hello(), max_tasks=1)

    assert (await refusal(service.workers.LeaseTasks(request))).reason == "DRAINING"
