"""A worker connects again: its newer session replaces the old one, and nothing is lost or charged."""

from typing import Any

import grpc
import pytest
from execution_orchestrator.entrypoints.worker_servicer import SessionLimits
from testkit import eventually
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, tuned, without_a_safety_net

STRICT = {"maximum_attempts": 1, "maximum_lost_attempts": 0}
ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": STRICT}


async def test_a_worker_that_came_back_gets_every_lease_and_its_old_session_none(
    service: Service, catalog: FakeCatalog
) -> None:
    """The old connection is still open as far as this replica knows, and its session has more credits."""
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(service.workers, hello(boot_id="X"), credits=10) as vanished,
        ScriptedWorker(service.workers, hello(boot_id="X"), credits=5) as back,
    ):
        for _ in range(4):
            await service.start()
        await back.leases(4)

        assert vanished.out == 0
        assert await vanished.ending() == grpc.StatusCode.ABORTED
        assert [session.credits for session in service.orchestrator.roster.sessions] == [1]


async def test_the_two_lanes_of_a_worker_do_not_replace_each_other(service: Service) -> None:
    async with (
        ScriptedWorker(service.workers, hello(boot_id="async lane"), credits=1),
        ScriptedWorker(service.workers, hello(boot_id="sync lane"), credits=1),
    ):
        await eventually(
            lambda: [session.credits for session in service.orchestrator.roster.sessions] == [1, 1]
        )


async def test_a_unary_call_does_not_replace_the_session_of_its_worker(service: Service) -> None:
    async with ScriptedWorker(service.workers, hello(), credits=1):
        await service.workers.LeaseTasks(pb.LeaseTasksRequest(worker=hello(), max_tasks=1))
        assert len(service.orchestrator.roster.sessions) == 1


@pytest.mark.parametrize("renews", [True, False], ids=["renewed", "not renewed"])
async def test_after_a_reconnect_a_worker_is_notified_of_a_cancel_at_once(
    service: Service, catalog: FakeCatalog, renews: bool
) -> None:
    """The new session knows what the worker holds: from the old session, and from heartbeats."""
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as before:
        id_ = (await service.start()).execution_id
        lease = await before.lease()
    await eventually(lambda: service.orchestrator.roster.sessions == [])

    async with ScriptedWorker(service.workers, hello()) as after:
        if renews:
            assert (await after.heartbeat(lease)).stale == []
        await service.cancel(id_, grace_seconds=20)
        await after.stop_of(lease, "CANCEL_REQUESTED", timeout=5)


async def test_a_worker_is_notified_of_a_cancel_by_another_replica_after_it_renewed_there(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    one, two = await launch(), await launch()
    await eventually(lambda: one.orchestrator.doorbell._listening and two.orchestrator.doorbell._listening)
    async with ScriptedWorker(one.workers, hello(), credits=1) as before:
        id_ = (await one.start()).execution_id
        lease = await before.lease()

    async with ScriptedWorker(two.workers, hello()) as after:
        assert (await after.heartbeat(lease)).stale == []
        await one.cancel(id_, grace_seconds=20)
        await after.stop_of(lease, "CANCEL_REQUESTED", timeout=5)


@tuned(sessions=SessionLimits(named_within=0.02))
async def test_a_lease_that_was_lost_with_its_connection_is_handed_back_and_charged_to_nobody(
    service: Service, catalog: FakeCatalog
) -> None:
    """The worker comes back and names one of its two leases: the other one never reached it.

    It has 0.02 of the TTL of 30 s to name them.
    """
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=2) as before:
        for _ in range(2):
            await service.start()
        kept, lost = await before.leases(2)

    async with ScriptedWorker(service.workers, hello(), credits=1) as after:
        assert (await after.heartbeat(kept)).stale == []
        again = await after.lease()
        assert (again.task.execution_id, again.attempt) == (lost.task.execution_id, 2)
        await after.succeed(again, kept)
        assert [await after.ack(each) for each in (again, kept)] == ["RECORDED", "RECORDED"]

    assert await service.rows("SELECT 1 FROM task_runs WHERE lost_attempts > 0") == []


@without_a_safety_net
async def test_a_claim_that_is_committed_after_its_session_has_closed_goes_to_another_worker_at_once(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    started = await service.start()
    async with service.pool.acquire() as blocker, blocker.transaction():
        await blocker.execute("LOCK TABLE attempts, execution_events IN ACCESS EXCLUSIVE MODE")
        async with ScriptedWorker(service.workers, hello("gone"), credits=1):
            (session,) = service.orchestrator.roster.sessions
            await eventually(lambda: session._claims == 1)
        await eventually(lambda: service.orchestrator.roster.sessions == [])

    async with ScriptedWorker(service.workers, hello("other"), credits=1) as other:
        lease = await other.lease()
        assert (lease.task.execution_id, lease.attempt) == (started.execution_id, 2)
        await other.succeed(lease)

        assert await other.ack(lease) == "RECORDED"


async def test_nothing_is_held_after_stale_heartbeats_and_revoked_claims(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await service.start()
        leases = await worker.leases(2)
        (session,) = service.orchestrator.roster.sessions
        assert len(session._held) == 2

        for lease in leases:
            await service.cancel(lease.task.execution_id, grace_seconds=0)
            await worker.stop_of(lease, "REVOKED", timeout=5)

        assert list((await worker.heartbeat(*leases)).stale) == [lease.task for lease in leases]
        assert dict(session._held) == {}
