"""A lease for each worker process: what heartbeats cost, and how else claims are renewed."""

from typing import Any

import pytest
from workflowsystem.execution.v1.execution_service_pb2 import BatchStartExecutionsRequest
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request
from tests.integration.orchestrator.test_unary_workers import leased

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
CLAIMS = (
    "SELECT boot_id, epoch, status, lease_expire_time, wake_time, close_time, silence_time FROM task_runs"
)
BOOTS = "SELECT boot_id, lease_expire_time, reap_time FROM worker_boots"
PATIENCE = 20.0


@pytest.fixture
async def impatient(launch: Launch) -> Service:
    """Leases last a second."""
    return await launch(lease_ttl=1.0)


async def start_many(service: Service, count: int) -> None:
    requests = [start_request() for _ in range(count)]
    await service.executions.BatchStartExecutions(BatchStartExecutionsRequest(requests=requests))


async def versions(service: Service, table: str) -> list[Any]:
    """What names each version of each row: an update makes another one, whatever it changes."""
    return await service.rows(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY 1")


# -- what heartbeats cost ----------------------------------------------------------------------------


async def test_steady_heartbeats_write_one_row_for_the_worker_process_and_none_for_its_tasks(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=100) as worker:
        await start_many(service, 100)
        leases = await worker.leases(100)
        assert (await worker.heartbeat(*leases)).stale == []  # confirms all of them
        before = await versions(service, "task_runs")
        (boot,) = await service.rows(BOOTS)
        for _ in range(5):
            assert (await worker.heartbeat(*leases, alive=True)).stale == []
        assert await versions(service, "task_runs") == before

        (renewed,) = await service.rows(BOOTS)

        assert renewed["lease_expire_time"] > boot["lease_expire_time"]


async def test_the_first_heartbeat_confirms_a_claim(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        (claimed,) = await service.rows(CLAIMS)
        assert claimed["wake_time"] == claimed["lease_expire_time"] < claimed["close_time"]
        await worker.heartbeat(lease)
        (confirmed,) = await service.rows(CLAIMS)

        assert confirmed["lease_expire_time"] is None
        assert confirmed["wake_time"] == confirmed["close_time"] == claimed["close_time"]


async def test_a_task_that_ends_before_its_first_heartbeat_needs_no_lease_of_its_process(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        await worker.succeed(await worker.lease())
        await service.becomes(id_, "COMPLETED")

    assert await service.rows(BOOTS) == []


async def test_news_of_a_confirmed_claim_are_kept(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({**ONE_TASK, "timeouts": {"heartbeat": "60s"}})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.heartbeat(lease, alive=False)
        (before,) = await service.rows(CLAIMS)
        await worker.heartbeat(lease, alive=True, progress=b"7")
        (after,) = await service.rows(CLAIMS)
        assert after["silence_time"] > before["silence_time"]
        assert after["wake_time"] == after["silence_time"]
        assert after["lease_expire_time"] is None

        (progress,) = await service.rows("SELECT progress::text AS p FROM task_runs")

        assert progress["p"] == "7"


# -- other ways to renew -----------------------------------------------------------------------------


async def test_without_a_session_each_claim_is_renewed_by_itself(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    await service.start()
    (lease,) = await leased(service)
    (before,) = await service.rows(CLAIMS)
    beats = pb.HeartbeatTasksRequest(heartbeats=[{"task": lease.task}])
    assert (await service.workers.HeartbeatTasks(beats)).stale == []

    (after,) = await service.rows(CLAIMS)

    assert after["lease_expire_time"] > before["lease_expire_time"]
    assert await service.rows(BOOTS) == []


async def test_a_process_renews_a_claim_that_was_given_to_another_process_without_confirming_it(
    service: Service, catalog: FakeCatalog
) -> None:
    """The reaper would not find it among the claims of either."""
    catalog.publish(ONE_TASK)
    await service.start()
    (lease,) = await leased(service)
    async with ScriptedWorker(service.workers, hello("another")) as worker:
        assert (await worker.heartbeat(lease)).stale == []
        (claim,) = await service.rows(CLAIMS)

        assert claim["lease_expire_time"] is not None


async def test_a_heartbeat_of_a_claim_that_is_over_changes_nothing_of_the_next_claim(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(impatient.workers, hello("first"), credits=1) as first,
        ScriptedWorker(impatient.workers, hello("second")) as second,
    ):
        await impatient.start()
        old = await first.lease()
        await second.grant(1)
        await second.lease()
        (before,) = await impatient.rows(CLAIMS)
        assert list((await first.heartbeat(old)).stale) == [old.task]
        beats = pb.HeartbeatTasksRequest(heartbeats=[{"task": old.task}])
        assert list((await impatient.workers.HeartbeatTasks(beats)).stale) == [old.task]

        (after,) = await impatient.rows(CLAIMS)

        assert (after["epoch"], after["lease_expire_time"]) == (before["epoch"], before["lease_expire_time"])


async def test_a_worker_is_notified_of_a_revoked_claim_while_another_worker_has_the_task(
    service: Service, catalog: FakeCatalog
) -> None:
    policy = {"maximum_attempts": 2, "initial_interval": "0.001s"}
    catalog.publish({**ONE_TASK, "retry_policy": policy})

    async with (
        ScriptedWorker(service.workers, hello("first"), credits=1) as first,
        ScriptedWorker(service.workers, hello("second"), credits=0) as second,
    ):
        id_ = (await service.start()).execution_id
        old = await first.lease()
        # As if a second report of the first worker had come by another replica.
        other = pb.ReportTasksRequest(results=[{"task": old.task, "failure": {"type": "Boom"}}])
        await service.workers.ReportTasks(other)
        await second.grant(1)
        await second.lease()
        (row,) = await service.rows("SELECT id FROM executions WHERE id = $1::text::uuid", id_)
        service.orchestrator.cancels.check([row["id"]])

        await first.stop_of(old, "REVOKED", timeout=PATIENCE)
