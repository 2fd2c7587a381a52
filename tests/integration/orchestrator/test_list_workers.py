"""ListWorkers: who is connected, with what, and what it runs, on any replica."""

import re
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from execution_orchestrator.application.workers.connected_workers import BoardLimits
from execution_orchestrator.tuning import Tuning
from prometheus_client import REGISTRY
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.execution.v1 import worker_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb

from tests.fakes.worker_board import FakeWorkerBoard
from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, refusal, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}


@pytest.fixture
def tuning() -> Tuning:
    return Tuning(connected_workers=BoardLimits(trust_seconds=1.0, refresh_seconds=0.1))


async def list_of(service: Service, **fields: Any) -> Any:
    return await service.executions.ListWorkers(pb.ListWorkersRequest(**fields))


async def names(service: Service, **fields: Any) -> list[str]:
    return [each.worker_id for each in (await list_of(service, **fields)).workers]


async def lists(service: Service, expected: Sequence[str], **fields: Any) -> None:
    """Wait until these workers are listed, in any order."""

    async def listed() -> None:
        assert sorted(await names(service, **fields)) == list(expected)

    await eventually(listed, timeout=30)


async def when(service: Service, worker_id: str, **expected: Any) -> Any:
    """The worker, once its fields have these values."""

    async def found() -> Any:
        workers = (await list_of(service, worker_id=worker_id)).workers
        assert len(workers) == 1
        worker = workers[0]
        assert {name: getattr(worker, name) for name in expected} == expected
        return worker

    return await eventually(found, timeout=30)


async def test_every_replica_lists_the_workers_of_all_and_a_dead_one_leaves(launch: Launch) -> None:
    one, two = await launch(), await launch()
    async with (
        ScriptedWorker(one.workers, hello("w-one")),
        ScriptedWorker(two.workers, hello("w-two")),
    ):
        await lists(one, ["w-one", "w-two"])
        await lists(two, ["w-one", "w-two"])
        replicas = {each.replica for each in (await list_of(one)).workers}
        assert len(replicas) == 2
        one.orchestrator.connected._board = FakeWorkerBoard()  # it dies: nobody hears it any more
        await lists(two, ["w-two"])

    await lists(two, [])


@tuned(connected_workers=BoardLimits(trust_seconds=3600.0, refresh_seconds=0.1))
async def test_a_replica_that_stops_takes_its_workers_off_the_list(launch: Launch) -> None:
    one, two = await launch(), await launch()
    async with ScriptedWorker(one.workers, hello("w-one")):
        await lists(two, ["w-one"])
        await one.orchestrator.connected.leave()

        assert await names(two) == []


async def test_a_worker_is_shown_with_what_it_said_and_what_it_runs(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, {"id": "more", "type": "noop"})
    greeting = hello("pod-7", ["noop", "orders.charge"], queues=["default", "slow"], slots=3)
    greeting.labels["zone"] = "b"
    greeting.sdk = "go/1.2.3"

    async with ScriptedWorker(service.workers, greeting, credits=3) as worker:
        idle = await when(service, "pod-7", credits=3, busy_slots=0)
        assert worker.welcome is not None
        assert idle.session_id == worker.welcome.session_id
        assert (list(idle.task_types), list(idle.queues)) == (["noop", "orders.charge"], ["default", "slow"])
        assert (idle.slots, dict(idle.labels), idle.sdk) == (3, {"zone": "b"}, "go/1.2.3")
        assert re.fullmatch(r"ipv[46]:(127\.0\.0\.1|\[::1\]):\d+", idle.peer)
        assert idle.protocol == worker_pb2.WORKER_PROTOCOL_SESSION
        id_ = (await service.start()).execution_id
        leases = await worker.leases(2)
        busy = await when(service, "pod-7", credits=1, busy_slots=2)
        assert sorted(task.task_id for task in busy.tasks) == ["more", "only"]
        for task in busy.tasks:
            assert (task.execution_id, task.workflow_id, task.task_type) == (id_, "flow", "noop")
            assert (task.attempt, task.HasField("lease_time")) == (1, True)
        await worker.say(draining=worker_pb.Draining())
        await worker.succeed(*leases)

        drained = await when(service, "pod-7", draining=True, busy_slots=0)

        assert list(drained.tasks) == []
        assert busy.last_message_time.ToNanoseconds() < drained.last_message_time.ToNanoseconds()
        assert idle.update_time.ToNanoseconds() < drained.update_time.ToNanoseconds()


async def test_nothing_that_is_shown_lets_another_process_take_over_the_session(
    service: Service, catalog: FakeCatalog
) -> None:
    """Whoever knows a boot id can replace its session, and whoever knows a token can report its task."""
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello("w", boot_id="the-boot-id"), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        shown = (await when(service, "w", busy_slots=1)).SerializeToString()
        assert b"the-boot-id" not in shown
        assert lease.task.token not in shown
        await worker.succeed(lease)


async def test_workers_are_chosen_by_namespace_type_queue_and_name(service: Service) -> None:
    async with (
        ScriptedWorker(service.workers, hello("a")),
        ScriptedWorker(service.workers, hello("b", ["mail.send"], queues=["slow"])),
        ScriptedWorker(service.workers, hello("c", namespace="team-a")),
    ):
        await lists(service, ["a", "b"])
        await lists(service, ["c"], namespace="team-a")

        assert await names(service, task_type="mail.send") == ["b"]
        assert await names(service, queue="default") == ["a"]
        assert await names(service, worker_id="b", queue="slow") == ["b"]
        assert await names(service, worker_id="c") == []


async def test_pages_follow_each_other_and_a_token_belongs_to_its_filters(service: Service) -> None:
    async with (
        ScriptedWorker(service.workers, hello("a")),
        ScriptedWorker(service.workers, hello("b")),
        ScriptedWorker(service.workers, hello("c")),
    ):
        await lists(service, ["a", "b", "c"])
        first = await list_of(service, page_size=2)
        second = await list_of(service, page_size=2, page_token=first.next_page_token)
        assert [len(first.workers), len(second.workers), second.next_page_token] == [2, 1, ""]
        assert sorted(each.worker_id for page in (first, second) for each in page.workers) == ["a", "b", "c"]
        error = await refusal(list_of(service, queue="slow", page_token=first.next_page_token))

        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_worker_that_leases_with_unary_calls_is_listed_for_a_while(service: Service) -> None:
    request = worker_pb.LeaseTasksRequest(worker=hello("unary", slots=7), max_tasks=1)
    await service.workers.LeaseTasks(request)
    worker = await when(service, "unary", protocol=worker_pb2.WORKER_PROTOCOL_UNARY)
    await service.workers.LeaseTasks(request)
    assert (worker.slots, worker.HasField("busy_slots"), list(worker.tasks)) == (7, False, [])
    await lists(service, [])


async def test_while_redis_is_down_the_list_is_unavailable_and_afterwards_it_is_whole_again(
    service: Service, redis_server: Any
) -> None:
    async with ScriptedWorker(service.workers, hello("w")):
        await lists(service, ["w"])
        redis_server.kill()
        error = await refusal(list_of(service))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert "try again" in error.message
        redis_server.start()

        async def whole() -> bool:
            try:
                return await names(service) == ["w"]
            except grpc.aio.AioRpcError:
                return False

        await eventually(whole, timeout=30)


async def test_the_largest_worker_fits_into_an_answer(service: Service) -> None:
    types = [f"t{number:03}{'x' * 124}" for number in range(1_000)]
    queues = [f"q{number:02}{'x' * 60}" for number in range(64)]
    greeting = hello("w" * 128, types, queues=queues, boot_id="boot")
    for number in range(64):
        greeting.labels[f"{number:02}{'𝄞' * 61}"] = "𝄞" * 63

    async with ScriptedWorker(service.workers, greeting):
        await lists(service, ["w" * 128])
        (worker,) = (await list_of(service)).workers

        assert (len(worker.task_types), len(worker.queues), len(worker.labels)) == (1_000, 64, 64)


async def test_labels_of_a_worker_have_limits(service: Service) -> None:
    for labels in ({"": "x"}, {"k" * 64: "x"}, {"k": "x" * 64}):
        greeting = hello()
        greeting.labels.update(labels)
        error = await refusal(ScriptedWorker(service.workers, greeting).refused())
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert error.violations[0].field.startswith("hello.labels")


async def test_the_open_sessions_of_a_replica_are_a_metric(service: Service) -> None:
    def sessions() -> float | None:
        return REGISTRY.get_sample_value("workflow_worker_sessions")

    before = sessions()
    assert before is not None
    async with ScriptedWorker(service.workers, hello("w")):
        assert sessions() == before + 1
    await eventually(lambda: sessions() == before)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"namespace": "No"}, "namespace"),
        ({"page_size": -1}, "page_size"),
        ({"task_type": "x" * 129}, "task_type"),
        ({"queue": "x" * 64}, "queue"),
        ({"worker_id": "x" * 129}, "worker_id"),
        ({"page_token": "x"}, "page_token"),
    ],
)
async def test_bad_requests_name_their_field(service: Service, fields: dict[str, Any], field: str) -> None:
    error = await refusal(list_of(service, **fields))
    assert (error.code, error.violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
