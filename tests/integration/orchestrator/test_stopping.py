"""Handlers are told to stop: on the stream, with heartbeats, and no status ever waits for them."""

import asyncio
from typing import Any

import pytest
from testkit import eventually
from workflow_contract.doorbell import Ring
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    status_of,
    task_of,
    task_status,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": {"maximum_attempts": 1}}
PAIR = [ONE_TASK, {**ONE_TASK, "id": "other"}]


def stopped(lease: Any) -> task_pb2.TaskResult:
    return task_pb2.TaskResult(task=lease.task, cancelled=task_pb2.TaskCancelled())


async def test_a_cancel_is_pushed_within_a_second_and_told_again_with_heartbeats(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(*PAIR, {"id": "later", "type": "noop", "needs": ["only", "other"]})
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        id_ = (await service.start()).execution_id
        leases = {lease.task.task_id: lease for lease in await worker.leases(2)}
        cancelling = await service.cancel(id_, grace_seconds=20, reason="enough")
        assert (status_of(cancelling), cancelling.cancel_requested) == ("RUNNING", True)
        for lease in leases.values():
            order = await worker.stop_of(lease, "CANCEL_REQUESTED", timeout=1.0)
            assert 15 < order.grace.ToTimedelta().total_seconds() <= 20
        told = len(worker.all("cancels"))
        assert (await worker.heartbeat(*leases.values())).stale == []
        await eventually(lambda: len(worker.all("cancels")) > told)
        unary = pb.HeartbeatTasksRequest(heartbeats=[{"task": leases["only"].task}])
        renewed = await service.workers.HeartbeatTasks(unary)
        assert [cancel.task for cancel in renewed.cancels] == [leases["only"].task]

        await worker.report(stopped(leases["only"]))
        await worker.succeed(leases["other"], output="finished all the same")
        assert [await worker.ack(lease) for lease in leases.values()] == ["RECORDED", "RECORDED"]
    done = await service.becomes(id_, "CANCELLED")
    assert [task_status(task_of(done, task)) for task in ("only", "other", "later")] == [
        "CANCELLED",
        "SUCCEEDED",
        "CANCELLED",
    ]
    assert attempt_statuses(task_of(done, "only")) == ["CANCELLED"]


async def test_the_grace_ends_without_the_worker_and_its_result_is_stale_then(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        await service.cancel(id_, grace_seconds=0.3)
        done = await service.becomes(id_, "CANCELLED", timeout=3)
        await worker.stop_of(lease, "REVOKED")
        await worker.succeed(lease)
        assert await worker.ack(lease) == "STALE"
        assert (await worker.heartbeat(lease)).stale == [lease.task]

    assert attempt_statuses(task_of(done, "only")) == ["CANCELLED"]
    assert (await service.get(id_)).last_sequence == done.last_sequence


async def test_a_second_cancel_can_only_hurry(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        await worker.lease()
        first = await service.cancel(id_, grace_seconds=60, reason="first")
        assert (await service.cancel(id_, grace_seconds=100)).cancel_deadline == first.cancel_deadline
        hurried = await service.cancel(id_, grace_seconds=30)
        assert hurried.cancel_deadline.ToDatetime() < first.cancel_deadline.ToDatetime()
        assert status_of(await service.cancel(id_, grace_seconds=0, reason="last")) == "CANCELLED"

    assert (await service.event_types(id_)).count("CANCEL_REQUESTED") == 1


async def test_siblings_of_a_task_that_failed_for_good_are_told_to_stop(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(*PAIR)

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        id_ = (await service.start()).execution_id
        leases = {lease.task.task_id: lease for lease in await worker.leases(2)}
        await worker.fail(leases["only"])
        await worker.stop_of(leases["other"], "REVOKED")
        await worker.succeed(leases["other"])
        assert await worker.ack(leases["other"]) == "STALE"
        failed = await service.get(id_)
        stops = [cancel.task for cancels in worker.all("cancels") for cancel in cancels.cancels]
        assert stops == [leases["other"].task]  # and nothing of what it had reported itself

    assert (status_of(failed), failed.failure.task_id) == ("FAILED", "only")
    assert [task_status(task_of(failed, task)) for task in ("only", "other")] == ["FAILED", "CANCELLED"]


async def test_a_failed_execution_leaves_nothing_that_a_worker_could_take(
    service: Service, catalog: FakeCatalog
) -> None:
    fan_out = {**ONE_TASK, "id": "each", "for_each": {"items": "${input.items}"}}
    catalog.publish(fan_out)

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start({"items": list(range(50))})).execution_id
        await worker.fail(await worker.lease())
        await service.becomes(id_, "FAILED")
        catalog.publish(ONE_TASK, workflow_id="next")
        following = await service.start(workflow_id="next")
        await worker.grant(1)
        assert (await worker.lease()).task.execution_id == following.execution_id
        assert worker.out == 1

    assert await service.queue_length() == 0


async def test_a_worker_of_another_orchestrator_hears_of_a_cancel_at_once(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    one, two = await launch(), await launch()
    await eventually(lambda: one.orchestrator.doorbell._listening and two.orchestrator.doorbell._listening)
    async with ScriptedWorker(two.workers, hello(), credits=1) as worker:
        id_ = (await one.start()).execution_id
        lease = await worker.lease()
        await one.cancel(id_, grace_seconds=20)
        await worker.stop_of(lease, "CANCEL_REQUESTED", timeout=1.0)


async def test_a_worker_hears_of_a_missed_cancel_with_its_next_heartbeat(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doorbell's message was lost: nobody waits for it."""
    catalog.publish(ONE_TASK)
    one, two = await launch(), await launch()

    async def lose(_: list[Ring]) -> None:
        return

    monkeypatch.setattr(one.orchestrator.doorbell, "publish", lose)
    async with ScriptedWorker(two.workers, hello(), credits=1) as worker:
        id_ = (await one.start()).execution_id
        lease = await worker.lease()
        await one.cancel(id_, grace_seconds=20)
        assert (await worker.heartbeat(lease)).stale == []
        await worker.stop_of(lease, "CANCEL_REQUESTED")


async def test_pause_while_a_completion_is_in_flight(service: Service, catalog: FakeCatalog) -> None:
    """Whichever comes first, the result is kept and nothing starts while the execution is Paused."""
    catalog.publish(ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]})
    async with ScriptedWorker(service.workers, hello(), credits=10) as worker:
        ids = [(await service.start()).execution_id for _ in range(8)]
        leases = await worker.leases(8)
        pauses = [asyncio.create_task(service.pause(id_)) for id_ in ids]
        await worker.succeed(*leases)
        await asyncio.gather(*pauses)
        assert [await worker.ack(lease) for lease in leases] == ["RECORDED"] * 8
        for id_ in ids:
            paused = await service.get(id_)
            assert status_of(paused) == "PAUSED"
            assert task_status(task_of(paused, "only")) == "SUCCEEDED"
            assert task_status(task_of(paused, "second")) in ("READY", "RUNNING")
        for id_ in ids:
            await service.resume(id_)
        seconds = await worker.leases(8)
        assert {lease.task.execution_id for lease in seconds} == set(ids)
        await worker.succeed(*seconds)

        for id_ in ids:
            await service.becomes(id_, "COMPLETED")


async def test_cancel_racing_with_the_expansion_of_a_fan_out(service: Service, catalog: FakeCatalog) -> None:
    fan_out = {**ONE_TASK, "id": "each", "needs": ["only"], "for_each": {"items": "${tasks.only.output}"}}
    catalog.publish(ONE_TASK, fan_out)

    async with ScriptedWorker(service.workers, hello(), credits=10) as worker:
        ids = [(await service.start()).execution_id for _ in range(8)]
        leases = await worker.leases(8)
        cancels = [asyncio.create_task(service.cancel(id_, grace_seconds=0.2)) for id_ in ids]
        await worker.succeed(*leases, output=list(range(20)))
        await asyncio.gather(*cancels)
        for id_ in ids:
            done = await service.becomes(id_, "CANCELLED")
            assert done.task_counts.total in (2, 22)
