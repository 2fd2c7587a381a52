"""The unary methods, for workers that can't hold a stream."""

import json
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from testkit import eventually
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import NO_CLAIMS, hello, result_of
from tests.integration.orchestrator.service import Service, refusal, status_of, task_of, task_status

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": {"maximum_attempts": 1}}
SECOND = {"id": "second", "type": "noop", "needs": ["only"]}


async def leased(service: Service, count: int = 10, wait_seconds: float = 5.0, **fields: Any) -> list[Any]:
    wait = Duration(nanos=int(wait_seconds * 1e9) % 10**9, seconds=int(wait_seconds))
    request = pb.LeaseTasksRequest(worker=hello("unary", **fields), max_tasks=count, wait=wait)
    return list((await service.workers.LeaseTasks(request)).leases)


async def test_a_client_without_a_stream_leases_renews_and_reports(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, SECOND)
    started = await service.start()
    (first,) = await leased(service)
    assert json.loads(first.input) == {}
    beats = [task_pb2.TaskHeartbeat(task=first.task, handler_alive=True, progress=b"0.5")]
    renewed = await service.workers.HeartbeatTasks(pb.HeartbeatTasksRequest(heartbeats=beats))
    assert (list(renewed.stale), list(renewed.cancels)) == ([], [])
    report = pb.ReportTasksRequest(results=[result_of(first), result_of(first, epoch=0), result_of(first)])
    acks = (await service.workers.ReportTasks(report)).acks
    assert [task_pb2.ResultStatus.Name(ack.status).removeprefix("RESULT_STATUS_") for ack in acks] == [
        "RECORDED",
        "STALE",
        "RECORDED",
    ]
    assert [ack.task.epoch for ack in acks] == [first.task.epoch, 0, first.task.epoch]
    (second,) = await leased(service)
    assert second.task.task_id == "second"
    await service.workers.ReportTasks(pb.ReportTasksRequest(results=[result_of(second, b"{")]))

    failed = await service.get(started.execution_id)

    assert (status_of(failed), task_status(task_of(failed, "second"))) == ("FAILED", "FAILED")


async def test_a_lease_call_takes_no_more_than_it_asked_for_and_returns_empty_handed_in_time(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    assert await leased(service, wait_seconds=0.05) == []
    for _ in range(5):
        await service.start()
    taken = []

    while len(taken) < 5:
        some = await leased(service, count=2)
        assert 0 < len(some) <= 2
        taken += some

    assert len({lease.task.execution_id for lease in taken}) == 5
    assert {lease.attempt for lease in taken} == {1}  # none was claimed and handed back
    assert await leased(service, wait_seconds=0) == []


async def test_a_lease_call_waits_for_the_first_task(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    wait = Duration(seconds=10)
    call = service.workers.LeaseTasks(pb.LeaseTasksRequest(worker=hello(), max_tasks=1, wait=wait))
    await eventually(lambda: len(service.orchestrator.roster.sessions) == 1)
    started = await service.start()
    (lease,) = (await call).leases

    assert lease.task.execution_id == started.execution_id
    assert service.orchestrator.roster.sessions == []


async def test_unary_requests_are_checked_by_their_rules(service: Service) -> None:
    results = [task_pb2.TaskResult(output=b"1")] * 1_001
    for call, field in (
        (service.workers.LeaseTasks(pb.LeaseTasksRequest(max_tasks=1)), "worker"),
        (service.workers.LeaseTasks(pb.LeaseTasksRequest(worker=hello(), max_tasks=1001)), "max_tasks"),
        (service.workers.HeartbeatTasks(pb.HeartbeatTasksRequest()), "heartbeats"),
        (service.workers.ReportTasks(pb.ReportTasksRequest()), "results"),
        (service.workers.ReportTasks(pb.ReportTasksRequest(results=results)), "results"),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert field in [violation.field for violation in error.violations]


async def test_unary_items_that_name_no_claim_are_stale_and_their_neighbours_are_taken(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    await service.start()
    (lease,) = await leased(service)
    bad = [result_of(lease, **task) for task in NO_CLAIMS]
    beats = [task_pb2.TaskHeartbeat(task=each.task) for each in (*bad, lease)]
    renewed = await service.workers.HeartbeatTasks(pb.HeartbeatTasksRequest(heartbeats=beats))
    assert list(renewed.stale) == [each.task for each in bad]
    acks = (await service.workers.ReportTasks(pb.ReportTasksRequest(results=[*bad, result_of(lease)]))).acks
    assert [ack.task for ack in acks] == [each.task for each in (*bad, lease)]

    statuses = [task_pb2.ResultStatus.Name(ack.status).removeprefix("RESULT_STATUS_") for ack in acks]

    assert statuses == ["STALE"] * len(bad) + ["RECORDED"]
