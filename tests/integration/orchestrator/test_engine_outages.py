"""Time in which the engine cannot serve does not count against schedule_to_start, whatever the reason."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from execution_orchestrator.adapters.postgres import upkeep_sql
from execution_orchestrator.adapters.postgres import upkeep_store as upkeep_module
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.application.ports.upkeep_store import EARLIEST
from execution_orchestrator.application.upkeep import timers
from execution_orchestrator.application.upkeep.timers import TimerPace
from execution_orchestrator.tuning import Tuning
from service_kit.tools.ids import new_uuid7
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.checker import check_everything
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, running_service, start_request, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
COUNT = 50
PATIENCE = 60.0
"""Seconds for what takes a moment on a machine that has nothing else to do."""


async def start_many(service: Service, count: int = COUNT) -> list[str]:
    requests = [start_request() for _ in range(count)]
    batch = pb.BatchStartExecutionsRequest(requests=requests)
    response = await service.executions.BatchStartExecutions(batch)
    return [result.execution.execution_id for result in response.results]


async def overdue(pool: asyncpg.Pool, count: int = COUNT) -> None:
    """Every job has waited for longer than QUEUE_TIMEOUT."""
    late = "SELECT count(*) FROM task_runs WHERE status = 'READY' AND wake_time < clock_timestamp()"
    assert await pool.fetchval(late) == count


async def complete_all(service: Service, worker: ScriptedWorker, ids: list[str]) -> None:
    for lease in await worker.leases(len(ids)):
        await worker.succeed(lease)
    for id_ in ids:
        await service.becomes(id_, "COMPLETED", PATIENCE)


async def test_jobs_outlive_a_stop_of_the_engine_that_is_longer_than_their_time_in_the_queue(
    database_url: str,
    redis_url: str,
    catalog: FakeCatalog,
    catalog_server: tuple[grpc.aio.Server, str],
    pool: asyncpg.Pool,
) -> None:
    tuning = Tuning(timers=TimerPace(give_back_page=7))  # not all of them get their time back at once
    catalog.publish(ONE_TASK)
    servers = (database_url, redis_url, catalog_server[1], pool)
    async with running_service(*servers, queue_timeout=2.0, tuning=tuning) as service:
        ids = await start_many(service)
    await eventually(lambda: overdue(pool), PATIENCE)
    async with running_service(*servers, queue_timeout=2.0, tuning=tuning) as service:
        await eventually(lambda: _moved(pool), PATIENCE)  # the timers were here before any worker
        async with ScriptedWorker(service.workers, hello(slots=COUNT), credits=COUNT) as worker:
            await complete_all(service, worker, ids)

    await check_everything(pool)


async def _moved(pool: asyncpg.Pool) -> None:
    """No job is due any more, and none has failed."""
    assert await pool.fetchval("SELECT count(*) FROM executions WHERE final") == 0
    assert await pool.fetchval("SELECT min(wake_time) > clock_timestamp() FROM task_runs")


async def test_jobs_outlive_a_loss_of_postgres_that_is_longer_than_their_time_in_the_queue(
    launch: Launch, catalog: FakeCatalog, wire: Wire, pool: asyncpg.Pool
) -> None:
    catalog.publish(ONE_TASK)
    services = [await launch(queue_timeout=2.0, database_url=wire.database_url) for _ in range(2)]
    ids = await start_many(services[0])
    await wire.cut()
    await eventually(lambda: _away_and_overdue(pool), PATIENCE)
    await wire.mend()
    await eventually(lambda: _moved(pool), PATIENCE)

    async with ScriptedWorker(services[1].workers, hello(slots=COUNT), credits=COUNT) as worker:
        await complete_all(services[1], worker, ids)


async def _away_and_overdue(pool: asyncpg.Pool) -> None:
    await overdue(pool)
    away = "SELECT max(seen_time) < clock_timestamp() - interval '3.5 s' FROM orchestrators"
    assert await pool.fetchval(away)


@tuned(reconnect_grace=timedelta())
async def test_a_job_that_nobody_takes_after_an_outage_fails_in_the_end(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    catalog.publish(ONE_TASK)
    service = await launch(queue_timeout=1.0)
    (id_,) = await start_many(service, 1)
    await _outage(service.orchestrator.upkeep, pool, seconds=2)
    failed = await service.becomes(id_, "FAILED", PATIENCE)

    assert failed.failure.type == "ScheduleToStartTimeout"


async def _outage(store: PostgresUpkeepStore, pool: asyncpg.Pool, seconds: float) -> None:
    """As if nobody had been there for so long."""
    await pool.execute(
        "INSERT INTO outages VALUES (clock_timestamp() - make_interval(secs => $1), clock_timestamp())",
        seconds,
    )
    await store.beat(new_uuid7())


# -- the facts, without an orchestrator ---------------------------------------------------------


@pytest.fixture
def store(pool: asyncpg.Pool) -> PostgresUpkeepStore:
    return PostgresUpkeepStore(pool)


AGE = "UPDATE orchestrators SET seen_time = seen_time - make_interval(secs => $1)"
JOB = """
INSERT INTO task_runs (execution_id, task_id, item, namespace, status, task_type, queue, unmet_needs, attempt,
    failed_attempts, lost_attempts, epoch, items_open, next_item, ready_time, wake_time)
VALUES ($1, $2, -1, 'default', $3, 'noop', 'default', 0, 0, 0, 0, 0, 0, 0,
    clock_timestamp() - make_interval(secs => $4), clock_timestamp() - make_interval(secs => $5))
"""


async def outages(pool: asyncpg.Pool) -> list[float]:
    rows = await pool.fetch("SELECT extract(epoch FROM end_time - start_time)::float FROM outages ORDER BY 1")
    return [row[0] for row in rows]


async def test_a_replica_that_stays_is_no_outage_and_the_first_one_ever_is_none_either(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    one, two = new_uuid7(), new_uuid7()
    presence = await store.beat(one)
    assert (presence.outage_end, presence.new_outage) == (EARLIEST, None)
    await pool.execute(AGE, 2.0)
    await store.beat(one)
    await store.beat(two)

    await pool.execute(f"{AGE} WHERE replica_id = $2", 60.0, one)  # the other one was there

    assert (await store.beat(one)).new_outage is None
    assert await outages(pool) == []


async def test_the_first_replica_that_returns_notes_the_outage_and_all_learn_the_same(
    store: PostgresUpkeepStore, pool: asyncpg.Pool, database_url: str
) -> None:
    """The second one asks while the first has not committed yet."""
    one, two = new_uuid7(), new_uuid7()
    for id_ in (one, two):
        await store.beat(id_)
    await pool.execute(AGE, 60.0)
    first = await asyncpg.connect(database_url)
    block = first.transaction()
    await block.start()
    outage_end = (await first.fetchrow(upkeep_sql.BEAT, one))["outage_end"]
    asking = asyncio.create_task(store.beat(two))
    await eventually(lambda: _one_waits(pool), PATIENCE)
    await block.commit()
    await first.close()
    assert (await asking).outage_end == outage_end
    assert (await store.beat(new_uuid7())).outage_end == outage_end

    (length,) = await outages(pool)

    assert 60 <= length < 60 + PATIENCE


async def _one_waits(pool: asyncpg.Pool) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    assert await pool.fetchval(query)


async def test_after_a_stop_in_good_order_any_time_without_a_replica_is_an_outage(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    one = new_uuid7()
    await store.beat(one)
    await store.leave(one)
    presence = await store.beat(new_uuid7())

    assert presence.new_outage is not None
    assert presence.share.count == 1
    assert len(await outages(pool)) == 1


async def test_a_time_in_the_future_is_neither_a_replica_nor_the_end_of_the_service(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    """A standby whose clock is behind has become the primary."""
    await store.beat(new_uuid7())
    await pool.execute(AGE, -3_600.0)
    presence = await store.beat(new_uuid7())

    assert (presence.share.count, presence.new_outage) == (1, None)


async def test_replicas_that_left_long_ago_are_forgotten_but_not_when_the_engine_served_last(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    await store.beat(new_uuid7())
    await store.beat(new_uuid7())
    await pool.execute(AGE, 7_200.0)
    await store.beat(new_uuid7())
    assert await pool.fetchval("SELECT count(*) FROM orchestrators") == 1
    (length,) = await outages(pool)

    assert length >= 7_200


async def test_a_job_gets_the_time_of_every_outage_back_exactly_once(pool: asyncpg.Pool) -> None:
    store = PostgresUpkeepStore(pool, reconnect_grace=timedelta())
    await pool.execute(
        "INSERT INTO outages SELECT clock_timestamp() - make_interval(secs => a), "
        "clock_timestamp() - make_interval(secs => b) FROM (VALUES (500, 400), (300, 100)) o(a, b)"
    )
    end = (await store.beat(new_uuid7())).outage_end
    for task_id, status, ready, due in (
        ("before both", "READY", 600, 10),
        ("in the second", "READY", 200, 10),
        ("after both", "READY", 50, 10),
        ("not due", "READY", 600, -1_000),
        ("backing off", "BACKING_OFF", 600, 10),
    ):
        await pool.execute(JOB, new_uuid7(), task_id, status, ready, due)
    before = await times(pool)
    assert sum(await asyncio.gather(*(store.give_time_back(end, 100) for _ in range(3)))) == 2
    assert await store.give_time_back(end, 100) == 0
    after = await times(pool)
    moved = {name: round(after[name] - before[name]) for name in before if after[name] != before[name]}
    assert moved == {"before both": 300, "in the second": 100}
    later = "UPDATE task_runs SET wake_time = wake_time - interval '2000 s'"
    await pool.execute(later)
    assert await store.give_time_back(end, 100) == 1  # the one that was not due before

    await pool.execute(later)

    assert await store.give_time_back(end, 100) == 0  # now their time is really over


async def test_replicas_that_give_time_back_together_do_not_wait_for_each_other(
    store: PostgresUpkeepStore, pool: asyncpg.Pool, database_url: str
) -> None:
    await pool.execute("INSERT INTO outages VALUES (clock_timestamp() - interval '60 s', clock_timestamp())")
    end = (await store.beat(new_uuid7())).outage_end
    await pool.execute(JOB, new_uuid7(), "only", "READY", 600, 10)
    other = await asyncpg.connect(database_url)
    block = other.transaction()
    await block.start()
    grace = upkeep_module.RECONNECT_GRACE
    assert await other.execute(upkeep_sql.GIVE_TIME_BACK, 100, end, grace) == "UPDATE 1"
    assert await asyncio.wait_for(store.give_time_back(end, 100), PATIENCE) == 0
    await block.commit()

    await other.close()


async def times(pool: asyncpg.Pool) -> dict[str, float]:
    rows = await pool.fetch("SELECT task_id, extract(epoch FROM wake_time)::float AS due FROM task_runs")
    return {row["task_id"]: row["due"] for row in rows}


async def test_no_job_fails_before_workers_had_time_to_come_back(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    await pool.execute("INSERT INTO outages VALUES (clock_timestamp() - interval '1 s', clock_timestamp())")
    end = (await store.beat(new_uuid7())).outage_end
    await pool.execute(JOB, new_uuid7(), "only", "READY", 600, 300)
    assert await store.give_time_back(end, 100) == 1
    left = await pool.fetchval("SELECT wake_time - $1::timestamptz FROM task_runs", end)

    assert left == upkeep_module.RECONNECT_GRACE


async def test_a_million_jobs_are_moved_in_pages_and_only_those_that_are_due(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    await pool.execute("INSERT INTO outages VALUES (clock_timestamp() - interval '60 s', clock_timestamp())")
    end = (await store.beat(new_uuid7())).outage_end
    for number in range(12):
        await pool.execute(JOB, new_uuid7(), str(number), "READY", 600, 10 if number < 8 else -100)

    assert [await store.give_time_back(end, 3) for _ in range(4)] == [3, 3, 2, 0]
    assert (
        timers.GIVE_BACK_PAGE <= 5_000
    )  # one statement moves these, and a claim of one of them waits for it
