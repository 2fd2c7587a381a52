"""What is due is woken: every page of it, by one replica, whatever cannot be woken beside it."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import sql
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.application import due_walk, timers
from execution_orchestrator.application.ports_upkeep import EARLIEST, Place, Presence, Share
from execution_orchestrator.application.work import CommandWork
from execution_orchestrator.domain.commands import WakeTask
from execution_orchestrator.domain.decision import Outcome
from execution_orchestrator.domain.task import TaskKey
from service_kit.ids import new_uuid7
from testkit import eventually
from workflow.execution.v1 import execution_service_pb2 as pb

from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.engine import TTL
from tests.integration.orchestrator.fake_catalog import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request
from tests.integration.orchestrator.test_engine_outages import JOB
from tests.integration.orchestrator.test_plans import explained

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
PATIENCE = 60.0


async def start_many(service: Service, count: int, workflow_id: str = "flow") -> list[str]:
    ids: list[str] = []
    while len(ids) < count:
        requests = [start_request(None, workflow_id) for _ in range(min(50, count - len(ids)))]
        batch = pb.BatchStartExecutionsRequest(requests=requests)
        response = await service.executions.BatchStartExecutions(batch)
        ids += [result.execution.execution_id for result in response.results]
    return ids


async def count_of(service: Service, status: str, workflow_id: str = "flow") -> int:
    query = "SELECT count(*) AS n FROM executions WHERE status = $1 AND workflow_id = $2"
    return int((await service.rows(query, status, workflow_id))[0]["n"])


def counted(service: Service, wakes: "Counter[str]") -> None:
    """Count the wakes of each task run that this replica sends."""
    submit = service.orchestrator.pipeline.submit

    def count(work: Any) -> Any:
        if isinstance(work.command, WakeTask):
            wakes[str(work.execution_id)] += 1
        return submit(work)

    service.orchestrator.pipeline.submit = count  # type: ignore[method-assign]


async def test_all_pages_of_what_is_due_are_woken_in_one_round(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "TIMER_PAGE", 3)
    service = await launch()
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.001s"}})
    await start_many(service, 30)
    monkeypatch.setattr(timers, "TIMER_SECONDS", 3600.0)  # whoever sleeps now sleeps to the end of the test
    await start_many(service, 30)

    async def due() -> None:
        late = "SELECT count(*) AS n FROM task_runs WHERE wake_time < clock_timestamp() OR wake_time IS NULL"
        assert (await service.rows(late))[0]["n"] == 60

    await eventually(due, PATIENCE)
    while await service.orchestrator.timers.tick():
        pass
    assert await count_of(service, "FAILED") == 60


async def test_what_cannot_be_decided_keeps_no_other_timer_from_being_woken(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several pages of it are due, and were due before the back-off of another execution is over."""
    monkeypatch.setattr(timers, "TIMER_PAGE", 9)
    service = await launch()
    wakes: Counter[str] = Counter()
    counted(service, wakes)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "1s"}}, workflow_id="damaged")
    policy = {"maximum_attempts": 3, "initial_interval": "0.3s", "jitter": 0}
    catalog.publish({**ONE_TASK, "retry_policy": policy})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        damaged = await start_many(service, 50, "damaged")
        definition = await pool.fetchrow("DELETE FROM definitions WHERE workflow_id = 'damaged' RETURNING *")
        service.orchestrator.pipeline._plans._plans._entries.clear()
        await eventually(lambda: set(damaged) <= set(wakes), PATIENCE)
        await worker.fail(lease)
        await worker.succeed(await worker.lease())  # the back-off is over
        await service.becomes(id_, "COMPLETED", PATIENCE)
        assert await count_of(service, "FAILED", "damaged") == 0
    # When the definition is back the executions go on.
    await pool.execute("INSERT INTO definitions VALUES ($1, $2, $3, $4)", *definition.values())

    async def failed() -> None:
        assert await count_of(service, "FAILED", "damaged") == 50

    await eventually(failed, PATIENCE)


async def test_a_wake_that_fails_is_tried_again_after_pauses_that_grow(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_walk, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(timers, "TIMER_SECONDS", 0.001)
    service = await launch()
    ticks = 0
    due_executions = service.orchestrator.upkeep.due_executions

    async def look(*arguments: Any) -> Any:
        nonlocal ticks
        ticks += 1
        return await due_executions(*arguments)

    service.orchestrator.upkeep.due_executions = look  # type: ignore[method-assign]
    wakes: Counter[str] = Counter()
    counted(service, wakes)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.5s"}})
    (id_,) = await start_many(service, 1)
    definition = await pool.fetchrow("DELETE FROM definitions RETURNING *")
    service.orchestrator.pipeline._plans._plans._entries.clear()
    await eventually(lambda: wakes[id_] >= 4, PATIENCE)
    ticks_of_four = ticks
    await eventually(lambda: ticks >= ticks_of_four + 200, PATIENCE)
    assert wakes[id_] <= 4 + 12  # 0.4 s, 0.8 s, ...: not every tick
    await pool.execute("INSERT INTO definitions VALUES ($1, $2, $3, $4)", *definition.values())
    await service.becomes(id_, "FAILED", PATIENCE)


async def test_a_wake_that_takes_long_keeps_no_other_timer_from_being_woken(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "PATIENCE_SECONDS", 0.05)
    service = await launch()
    submit = service.orchestrator.pipeline.submit
    held: list[asyncio.Future[Any]] = []

    def slow(work: Any) -> Any:
        if isinstance(work.command, WakeTask) and not held:
            held.append(asyncio.get_running_loop().create_future())
            return held[0]
        return submit(work)

    monkeypatch.setattr(service.orchestrator.pipeline, "submit", slow)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.3s"}})
    await start_many(service, 5)

    async def others_failed() -> None:
        assert held
        assert await count_of(service, "FAILED") == 4

    await eventually(others_failed, PATIENCE)
    held[0].set_exception(RuntimeError("the wake failed"))

    async def all_failed() -> None:
        assert await count_of(service, "FAILED") == 5

    await eventually(all_failed, PATIENCE)


async def test_three_replicas_wake_everything_once(launch: Launch, catalog: FakeCatalog) -> None:
    services = [await launch(queue_timeout=1.0, database_pool_size=3) for _ in range(3)]
    for service in services:
        await eventually(lambda service=service: _knows_all(service), PATIENCE)
    catalog.publish(ONE_TASK)
    wakes: Counter[str] = Counter()
    own: list[Counter[str]] = [Counter() for _ in services]
    for service, mine in zip(services, own, strict=True):
        counted(service, wakes)
        counted(service, mine)
    await start_many(services[0], 1_500)

    async def all_failed() -> None:
        assert await count_of(services[0], "FAILED") == 1_500

    await eventually(all_failed, PATIENCE)
    assert sum(wakes.values()) <= 1.05 * 1_500
    assert min(len(mine) for mine in own) > 1_500 / 3 / 2


async def _knows_all(service: Service) -> None:
    assert (await service.orchestrator.replicas.presence()).share.count == 3


async def test_a_clock_of_the_process_that_is_ahead_wakes_nothing(
    service: Service, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    catalog.publish(ONE_TASK)
    (id_,) = await start_many(service, 1)
    now = await pool.fetchval("SELECT clock_timestamp()")
    service.orchestrator.clock.tell(now + timedelta(hours=1))
    wake = CommandWork(UUID(id_), WakeTask(TaskKey("only")))
    assert (await service.orchestrator.pipeline.submit(wake)).outcome is Outcome.UNCHANGED
    assert await count_of(service, "PENDING") == 1


# -- shares, without an orchestrator ------------------------------------------------------------


@pytest.fixture
def store(pool: asyncpg.Pool) -> PostgresUpkeepStore:
    return PostgresUpkeepStore(pool)


async def found(store: PostgresUpkeepStore, presence: Presence, index: int, count: int) -> set[str]:
    mine = Presence(presence.now, Share(index, count), presence.outage_end, presence.available_since, None)
    page = await store.due_tasks(Place(EARLIEST), 1_000, mine, TTL)
    return {row.place.task_id for row in page.rows}


async def test_every_due_row_is_in_the_share_of_exactly_one_replica(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    presence = await store.beat(new_uuid7())
    for number in range(60):
        await pool.execute(JOB, new_uuid7(), str(number), "READY", 600, 2)
    shares = [await found(store, presence, index, 3) for index in range(3)]
    assert sum(len(share) for share in shares) == 60
    assert len(set.union(*shares)) == 60
    assert min(len(share) for share in shares) >= 5


async def test_a_row_that_stays_due_is_in_the_share_of_every_replica_in_turn(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    presence = await store.beat(new_uuid7())
    await pool.execute(JOB, new_uuid7(), "only", "READY", 600, 1)
    owners = []
    for _ in range(3):
        owners.append([index for index in range(3) if await found(store, presence, index, 3)])
        await pool.execute("UPDATE task_runs SET wake_time = wake_time - interval '6 s'")
    assert sorted(owners) == [[0], [1], [2]]


async def test_replicas_share_with_those_that_are_there(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    ids = sorted(new_uuid7() for _ in range(3))
    for id_ in ids:
        await store.beat(id_)
    assert [(await store.beat(id_)).share for id_ in ids] == [Share(0, 3), Share(1, 3), Share(2, 3)]
    await store.leave(ids[0])
    await pool.execute(
        "UPDATE orchestrators SET seen_time = seen_time - interval '4 s' WHERE replica_id = $1", ids[1]
    )
    assert (await store.beat(ids[2])).share == Share(0, 1)


async def test_the_walk_goes_on_behind_rows_with_the_same_time(
    store: PostgresUpkeepStore, pool: asyncpg.Pool
) -> None:
    presence = await store.beat(new_uuid7())
    id_ = new_uuid7()
    for number in range(7):
        await pool.execute(JOB, id_, str(number), "READY", 600, 2)
    await pool.execute("UPDATE task_runs SET wake_time = date_trunc('second', wake_time) - interval '1 s'")
    place, seen = Place(EARLIEST), []
    while rows := (await store.due_tasks(place, 3, presence, TTL)).rows:
        seen += [row.place.task_id for row in rows]
        place = rows[-1].place
    assert seen == [str(number) for number in range(7)]


# -- what is over -------------------------------------------------------------------------------


async def test_the_timers_of_an_engine_that_has_settled_look_from_a_mark_on(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_walk, "FULL_WALK_SECONDS", 0.0)
    service = await launch(lease_ttl=1.0)
    places: list[Place] = []
    due_tasks = service.orchestrator.upkeep.due_tasks

    async def look(place: Place, *others: Any) -> Any:
        places.append(place)
        return await due_tasks(place, *others)

    monkeypatch.setattr(service.orchestrator.upkeep, "due_tasks", look)
    await eventually(lambda: len(places) >= 3, PATIENCE)
    assert places[-1].wake_time == EARLIEST  # each walk is a full one here
    monkeypatch.setattr(due_walk, "FULL_WALK_SECONDS", 3600.0)
    await eventually(lambda: places[-1].wake_time > EARLIEST, PATIENCE)
    looked = len(places)
    await eventually(lambda: len(places) >= looked + 3, PATIENCE)
    assert min(place.wake_time for place in places[looked:]) > EARLIEST


async def test_a_look_from_a_mark_reads_nothing_of_what_is_over(
    store: PostgresUpkeepStore, pool: asyncpg.Pool, database_url: str
) -> None:
    """An old snapshot keeps the index entries of 5,000 jobs."""
    presence = await store.beat(new_uuid7())
    await pool.execute(JOB, new_uuid7(), "1", "READY", 600, 60)
    names = ", ".join(row["attname"] for row in await pool.fetch(COLUMNS))
    await pool.execute(
        f"INSERT INTO task_runs (item, {names}) SELECT n, {names} FROM task_runs, generate_series(1, 5000) n"
    )
    snapshot = await asyncpg.connect(database_url)
    block = snapshot.transaction(isolation="repeatable_read")
    await block.start()
    await snapshot.fetch("SELECT count(*) FROM task_runs")
    await pool.execute("UPDATE task_runs SET wake_time = NULL, ready_time = NULL, status = 'BLOCKED'")
    assert await read(pool, sql.DUE_TASKS, EARLIEST, presence) > 50
    assert await read(pool, sql.DUE_TASKS, presence.now - due_walk.LAG, presence) <= 10
    await block.rollback()
    await snapshot.close()


async def test_a_timer_that_was_over_before_a_pause_is_over_at_the_resume_and_not_long_ago(
    pool: asyncpg.Pool,
) -> None:
    """A look that begins at a mark would not find it."""
    id_ = new_uuid7()
    for task_id, left in (("over", timedelta(minutes=-5)), ("not over", timedelta(minutes=5))):
        await pool.execute(JOB, id_, task_id, "READY", 600, 600)
        update = "UPDATE task_runs SET frozen = $1, wake_time = NULL, ready_time = NULL WHERE task_id = $2"
        await pool.execute(update, left, task_id)
    now = await pool.fetchval("SELECT clock_timestamp()")
    await pool.fetch(sql.THAW, id_, now)
    rows = await pool.fetch("SELECT task_id, wake_time FROM task_runs")
    assert {row["task_id"]: row["wake_time"] - now for row in rows} == {
        "over": timedelta(),
        "not over": timedelta(minutes=5),
    }


COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = 'task_runs'::regclass AND attnum > 0 "
    "AND NOT attisdropped AND attname <> 'item'"
)


async def read(pool: asyncpg.Pool, statement: str, beginning: datetime, presence: Presence) -> int:
    """The pages that a look for due task runs reads."""
    nobody = "00000000-0000-0000-0000-000000000000"
    values = ("500", f"'{beginning}'", f"'{nobody}'", "''", "-1", "1", "0", f"'{EARLIEST}'", f"'{EARLIEST}'")
    async with pool.acquire() as connection:
        for name, setting in sql.PLANNER_SETTINGS.items():
            await connection.execute(f"SET {name} = {setting}")
        explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"
        (plan, *_) = await explained(connection, explain, statement, values)
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
