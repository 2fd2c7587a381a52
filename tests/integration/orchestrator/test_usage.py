"""GetWorkflowUsage: what runs of a workflow, and which task types no live worker offers, on any replica."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from execution_orchestrator.tuning import Tuning
from service_kit.process.connection_string import ConnectionString
from testkit import eventually
from testkit.databases import Database, Databases
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.worker.v1 import worker_service_pb2 as worker_pb

from tests.fakes.task_type_board import FakeTaskTypeBoard
from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import STRONG, Service, refusal, tuned
from tests.integration.orchestrator.test_replica_reads import _reads_of as replica_reads_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
CHARGE: dict[str, Any] = {"id": "charge", "type": "orders.charge"}


SHORT_TRUST = {"live_types_trust_seconds": 1.0, "live_types_refresh_seconds": 0.1}


@pytest.fixture
def tuning() -> Tuning:
    return Tuning(**SHORT_TRUST)


async def usage_of(service: Service, types: Sequence[str] = (), **fields: Any) -> Any:
    request = {"workflow_id": "flow", "read_consistency": STRONG, "task_types": types, **fields}
    return await service.executions.GetWorkflowUsage(pb.GetWorkflowUsageRequest(**request))


def counts(usage: Any) -> list[tuple[int, ...]]:
    """Version, pending, running, paused."""
    return [
        (each.version, each.pending_count, each.running_count, each.paused_count) for each in usage.versions
    ]


async def missing(service: Service, *types: str, **fields: Any) -> list[str]:
    return list((await usage_of(service, types, **fields)).task_types_without_worker)


async def becomes_missing(service: Service, *types: str, expected: Sequence[str]) -> None:
    async def told() -> None:
        assert await missing(service, *types) == list(expected)

    await eventually(told)


async def test_executions_in_flight_are_counted_by_version_and_status(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    first = [(await service.start()).execution_id for _ in range(4)]
    catalog.publish(ONE_TASK, ONE_TASK | {"id": "more"})
    catalog.publish(ONE_TASK, workflow_id="other")
    await service.start(workflow_id="other")

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        one, _ = await worker.leases(2)
        await service.start()
        await service.pause(first[3])
        assert counts(await usage_of(service)) == [(2, 1, 0, 0), (1, 1, 2, 1)]
        await worker.succeed(one)
        await service.becomes(one.task.execution_id, "COMPLETED")
        await service.cancel(first[3])

        answer = await usage_of(service)

        assert (answer.namespace, answer.workflow_id) == ("default", "flow")
        assert counts(answer) in ([(2, 1, 0, 0), (1, 0, 2, 0)], [(2, 1, 0, 0), (1, 1, 1, 0)])


async def test_a_workflow_that_never_ran_is_in_no_use(service: Service) -> None:
    usage = await usage_of(service, workflow_id="never-heard-of")
    assert (counts(usage), list(usage.task_types_without_worker)) == ([], [])


async def test_the_types_asked_for_and_those_in_flight_are_looked_for_among_the_live_workers(
    service: Service, catalog: FakeCatalog
) -> None:
    """The worker's own built-ins count only while a worker is there that has them."""
    assert await missing(service, "noop", "orders.charge", "noop") == ["noop", "orders.charge"]
    async with ScriptedWorker(service.workers, hello(types=["orders.charge", "mail.send"])):
        await becomes_missing(service, "noop", "orders.charge", expected=["noop"])
        catalog.publish(CHARGE, {"id": "tell", "type": "mail.send"}, {"id": "rest", "type": "sleep"})
        await service.start()

        assert await missing(service) == ["sleep"]
        assert await missing(service, "noop") == ["noop", "sleep"]


async def test_the_types_of_a_version_are_known_to_a_replica_that_never_ran_it(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "type": "sleep"})
    await (await launch()).start()

    assert await missing(await launch()) == ["sleep"]


async def test_a_worker_of_another_namespace_is_no_help(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello(types=["orders.charge"], namespace="team-a")):
        await eventually(_is_offered(service, "orders.charge", namespace="team-a"))
        assert await missing(service, "orders.charge") == ["orders.charge"]


def _is_offered(service: Service, *types: str, **fields: Any) -> Any:
    async def check() -> bool:
        return await missing(service, *types, **fields) == []

    return check


async def test_a_worker_of_one_orchestrator_is_known_to_the_other_until_it_has_left(launch: Launch) -> None:
    one, two = await launch(), await launch()
    async with ScriptedWorker(one.workers, hello(types=["orders.charge"])):
        await becomes_missing(two, "orders.charge", "noop", expected=["noop"])
        async with ScriptedWorker(two.workers, hello("worker-2", types=["noop"])):
            await becomes_missing(one, "orders.charge", "noop", expected=[])
        await becomes_missing(one, "orders.charge", "noop", expected=["noop"])
        await becomes_missing(two, "orders.charge", "noop", expected=["noop"])
    await becomes_missing(one, "orders.charge", expected=["orders.charge"])

    await becomes_missing(two, "orders.charge", expected=["orders.charge"])


async def test_the_offers_of_an_orchestrator_that_dies_are_forgotten(launch: Launch) -> None:
    """It tells nothing any more, and says no goodbye."""
    one, two = await launch(), await launch()
    async with ScriptedWorker(one.workers, hello(types=["orders.charge"])):
        await becomes_missing(two, "orders.charge", expected=[])
        one.orchestrator.live_types._board = FakeTaskTypeBoard()  # nobody hears it
        await becomes_missing(two, "orders.charge", expected=["orders.charge"])


async def test_a_draining_worker_is_not_live(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello(types=["orders.charge"])) as worker:
        await becomes_missing(service, "orders.charge", expected=[])
        await worker.say(draining=worker_pb.Draining())
        await becomes_missing(service, "orders.charge", expected=["orders.charge"])


async def test_a_client_that_leases_with_unary_calls_is_live(service: Service) -> None:
    request = worker_pb.LeaseTasksRequest(worker=hello(types=["orders.charge"]), max_tasks=1)
    await service.workers.LeaseTasks(request)
    await eventually(_is_offered(service, "orders.charge"))


async def test_while_redis_is_down_the_answer_is_unavailable_and_afterwards_all_is_told_again(
    service: Service, redis_server: Any
) -> None:
    async with ScriptedWorker(service.workers, hello(types=["orders.charge"])):
        await becomes_missing(service, "orders.charge", expected=[])
        redis_server.kill()
        error = await refusal(usage_of(service, ["orders.charge"]))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert "try again" in error.message
        redis_server.start()

        async def told_again() -> bool:
            try:
                return await missing(service, "orders.charge") == []
            except grpc.aio.AioRpcError:
                return False

        await eventually(told_again)


async def test_what_a_wiped_redis_has_forgotten_is_told_again(launch: Launch, redis_server: Any) -> None:
    service = await launch()
    async with ScriptedWorker(service.workers, hello(types=["orders.charge"])):
        await becomes_missing(service, "orders.charge", expected=[])
        await service.orchestrator.queue._client.flushall()
        await becomes_missing(service, "orders.charge", expected=[])


async def test_usage_is_read_from_the_replica_unless_the_call_asks_for_a_strong_read(
    launch: Launch, catalog: FakeCatalog, replica_url: str, databases: Databases, database: Database
) -> None:
    service = await launch(read_only_connection=ConnectionString.parse(replica_url))
    catalog.publish({**ONE_TASK, "type": "sleep"})
    fresh = {"consistency_token": (await service.start()).consistency_token}
    assert counts(await usage_of(service, read_consistency=fresh)) == [(1, 1, 0, 0)]
    databases.wait_for_replica(database)

    before = await replica_reads_of(service)

    assert counts(await usage_of(service, read_consistency=None)) == [(1, 1, 0, 0)]
    assert await replica_reads_of(service) == before + 1
    assert counts(await usage_of(service)) == [(1, 1, 0, 0)]
    assert await replica_reads_of(service) == before + 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"workflow_id": ""}, "workflow_id"),
        ({"workflow_id": "x'; DROP"}, "workflow_id"),
        ({"namespace": "No"}, "namespace"),
        ({"task_types": [""]}, "task_types[0]"),
        ({"task_types": ["noop"] * 501}, "task_types"),
    ],
)
async def test_bad_requests_name_their_field(service: Service, fields: dict[str, Any], field: str) -> None:
    error = await refusal(usage_of(service, **fields))
    assert (error.code, error.violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@tuned(**SHORT_TRUST, usage_type_bytes=30)
async def test_versions_with_too_many_types_for_one_answer_follow_on_the_next_page(
    service: Service, catalog: FakeCatalog
) -> None:
    for number in range(4):
        catalog.publish({**ONE_TASK, "type": f"sleep.t{number // 2}.{'x' * 20}"})
        async with ScriptedWorker(service.workers, hello(types=[f"sleep.t{number // 2}.{'x' * 20}"])):
            pass  # a type that no worker ever had would be refused
        await service.start()
    first = await usage_of(service)
    assert [each.version for each in first.versions] == [4, 3]  # they have the same type
    second = await usage_of(service, page_token=first.next_page_token)
    assert [each.version for each in second.versions] == [2, 1]
    assert second.next_page_token == ""

    error = await refusal(usage_of(service, workflow_id="other", page_token=first.next_page_token))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
