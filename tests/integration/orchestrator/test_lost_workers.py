"""Worker processes that are lost: who loses what, and how it races with heartbeats."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import lease_sql
from execution_orchestrator.adapters.postgres.lease_store import PostgresLeaseStore
from execution_orchestrator.application.upkeep.reaper import TAKE_OVER_AFTER
from execution_orchestrator.domain.commands import LoseClaim
from service_kit.errors import resource_exhausted
from testkit import eventually

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, attempt_statuses, task_of, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
CLAIMS = (
    "SELECT boot_id, epoch, status, lease_expire_time, wake_time, close_time, silence_time FROM task_runs"
)
BOOTS = "SELECT boot_id, lease_expire_time, reap_time FROM worker_boots"
REQUEUED = "SELECT 1 FROM execution_events WHERE execution_id = '{}' AND type = 'TASK_REQUEUED'"
PATIENCE = 20.0


@pytest.fixture
async def impatient(launch: Launch) -> Service:
    """Leases last a second."""
    return await launch(lease_ttl=1.0)


async def test_a_worker_process_that_is_lost_loses_its_confirmed_claims_and_is_forgotten(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(impatient.workers, hello("lost"), credits=3) as lost:
        ids = [(await impatient.start()).execution_id for _ in range(3)]
        await lost.heartbeat(*await lost.leases(3))
    async with ScriptedWorker(impatient.workers, hello("other"), credits=3) as other:
        await other.succeed(*[await _lease(other) for _ in ids])
        for id_ in ids:
            done = await impatient.becomes(id_, "COMPLETED")
            assert attempt_statuses(task_of(done, "only")) == ["LOST", "SUCCEEDED"]
            assert task_of(done, "only").attempts[0].failure.type == "WorkerLost"

    await eventually(lambda: _none(impatient, "SELECT 1 FROM worker_boots"), PATIENCE)


async def test_a_task_may_take_many_times_its_lease_and_a_lost_worker_reports_in_vain(
    impatient: Service, catalog: FakeCatalog
) -> None:
    """Only tasks that are longer than their lease show whether the fence holds."""
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(impatient.workers, hello("slow"), credits=2) as slow,
        ScriptedWorker(impatient.workers, hello("stopped"), credits=2) as stopped,
    ):
        for _ in range(4):
            await impatient.start()
        held, late = await slow.leases(2), await stopped.leases(2)
        await slow.heartbeat(*held)
        await stopped.heartbeat(*late)

        async def lost() -> None:
            assert (await slow.heartbeat(*held)).stale == []
            rows = await impatient.rows(
                "SELECT 1 FROM attempts WHERE status = 'LOST' AND worker_id = 'stopped'"
            )
            assert len(rows) == 2

        await eventually(lost, PATIENCE, interval=0.1)
        await stopped.succeed(*late)
        assert [await stopped.ack(lease) for lease in late] == ["STALE", "STALE"]
        await slow.succeed(*held)
        assert [await slow.ack(lease) for lease in held] == ["RECORDED", "RECORDED"]
    assert await impatient.rows("SELECT 1 FROM attempts WHERE worker_id = 'slow'") == []


async def test_a_claim_that_its_worker_does_not_name_any_more_is_lost_though_the_process_lives(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(impatient.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await impatient.start()
        kept, forgotten = await worker.leases(2)
        await worker.heartbeat(kept, forgotten)

        async def lost() -> None:
            assert (await worker.heartbeat(kept)).stale == []
            assert await impatient.rows("SELECT 1 FROM attempts WHERE status = 'LOST'")

        await eventually(lost, PATIENCE, interval=0.1)
        assert (await worker.heartbeat(kept, forgotten)).stale == [forgotten.task]
        await worker.succeed(kept)
        assert await worker.ack(kept) == "RECORDED"


async def test_what_a_replica_began_to_lose_when_it_died_another_one_finishes(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(impatient.workers, hello(), credits=1) as worker:
        id_ = (await impatient.start()).execution_id
        lease = await worker.lease()
        await impatient.rows(
            "INSERT INTO worker_boots VALUES ('default', $1, 'worker-1', clock_timestamp() - interval '1 h', "
            "clock_timestamp() - interval '1 h')",
            hello().boot_id,
        )
        await impatient.rows("UPDATE task_runs SET lease_expire_time = NULL, wake_time = close_time")
        await worker.stop_of(lease, "REVOKED", timeout=PATIENCE)
    assert "TASK_REQUEUED" in await impatient.event_types(id_)

    await eventually(lambda: _none(impatient, "SELECT 1 FROM worker_boots"), PATIENCE)


@tuned(take_over_after=timedelta(seconds=0.2))
async def test_a_claim_that_can_not_be_lost_now_is_tried_again_and_keeps_no_other_from_being_lost(
    impatient: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    submit = impatient.orchestrator.pipeline.submit
    async with ScriptedWorker(impatient.workers, hello("lost"), credits=2) as lost:
        leases = [await _started(impatient, lost) for _ in range(2)]
        stuck, other = (lease.task.execution_id for lease in leases)
        refused = []

        def refuse(work: Any) -> Any:
            if isinstance(work.command, LoseClaim) and str(work.execution_id) == stuck and len(refused) < 3:
                refused.append(work)
                raise resource_exhausted("OVERLOADED", "too much")
            return submit(work)

        monkeypatch.setattr(impatient.orchestrator.pipeline, "submit", refuse)
        await lost.heartbeat(*leases)
    await eventually(lambda: _some(impatient, REQUEUED.format(other)), PATIENCE)
    await eventually(lambda: _some(impatient, REQUEUED.format(stuck)), PATIENCE)
    assert len(refused) == 3


async def test_a_heartbeat_during_the_end_of_its_process_keeps_the_claim_by_a_lease_of_its_own(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.heartbeat(lease)
        await service.rows("UPDATE worker_boots SET reap_time = clock_timestamp()")
        (ended,) = await service.rows(BOOTS)
        assert (await worker.heartbeat(lease)).stale == []
        (claim,) = await service.rows(CLAIMS)
        assert claim["wake_time"] is not None
        assert claim["lease_expire_time"] is not None
        assert await service.rows(BOOTS) == [ended]
        assert await _forget(service)
        await worker.heartbeat(lease)  # begins a new life of the process

        (claim,) = await service.rows(CLAIMS)

        assert claim["lease_expire_time"] is None


async def test_a_worker_process_that_has_claims_is_not_forgotten(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        await worker.heartbeat(await worker.lease())
        assert not await _forget(service)  # it lives
        await service.rows("UPDATE worker_boots SET reap_time = clock_timestamp()")

        assert not await _forget(service)  # it still has a claim


async def test_a_renewal_that_comes_first_keeps_the_process_from_being_marked(
    service: Service, catalog: FakeCatalog, database_url: str
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        await worker.heartbeat(await worker.lease())
        await service.rows("UPDATE worker_boots SET lease_expire_time = clock_timestamp() - interval '1 s'")
        renewing = await asyncpg.connect(database_url)
        async with renewing.transaction():
            await renewing.execute(
                "UPDATE worker_boots SET lease_expire_time = clock_timestamp() + interval '1 min'"
            )
            marking = service.rows(lease_sql.END_BOOTS, 10, TAKE_OVER_AFTER)
            assert await asyncio.wait_for(marking, PATIENCE) == []  # it does not wait for the renewal
        assert await service.rows(lease_sql.END_BOOTS, 10, TAKE_OVER_AFTER) == []

        await renewing.close()


async def test_a_heartbeat_that_comes_after_the_mark_confirms_nothing(
    service: Service, catalog: FakeCatalog, database_url: str, pool: asyncpg.Pool
) -> None:
    """It waits for the mark, and then sees it."""
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.heartbeat(lease)
        await service.rows("UPDATE worker_boots SET lease_expire_time = clock_timestamp() - interval '1 s'")
        marking = await asyncpg.connect(database_url)
        async with marking.transaction():
            assert len(await marking.fetch(lease_sql.END_BOOTS, 10, TAKE_OVER_AFTER)) == 1
            answer = asyncio.create_task(worker.heartbeat(lease))
            await eventually(lambda: _some(service, "SELECT 1 FROM pg_locks WHERE NOT granted"))
        assert (await answer).stale == []
        await marking.close()

        (claim,) = await service.rows(CLAIMS)

        assert claim["lease_expire_time"] is not None


async def _started(service: Service, worker: ScriptedWorker) -> Any:
    await service.start()
    return await worker.lease()


async def _lease(worker: ScriptedWorker) -> Any:
    """A lease that may come only after a lease TTL."""
    return await asyncio.wait_for(worker.waiting.get(), PATIENCE)


async def _none(service: Service, query: str) -> None:
    assert await service.rows(query) == []


async def _some(service: Service, query: str) -> None:
    assert await service.rows(query)


async def _forget(service: Service) -> bool:
    return await PostgresLeaseStore(service.pool).forget_boot("default", hello().boot_id)
