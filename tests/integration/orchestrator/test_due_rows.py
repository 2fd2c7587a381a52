"""A look finds the due rows of the replica's share, in order, and reads nothing of what is over."""

from datetime import datetime, timedelta

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.application.ports.upkeep_store import EARLIEST, Place, Presence, Share
from execution_orchestrator.application.upkeep import due_walk
from service_kit.tools.ids import new_uuid7

from tests.integration.orchestrator.test_engine_outages import JOB
from tests.integration.orchestrator.test_plans import explained


@pytest.fixture
def store(pool: asyncpg.Pool) -> PostgresUpkeepStore:
    return PostgresUpkeepStore(pool)


async def found(store: PostgresUpkeepStore, presence: Presence, index: int, count: int) -> set[str]:
    mine = Presence(presence.now, Share(index, count), presence.outage_end, presence.available_since, None)
    page = await store.due_tasks(Place(EARLIEST), 1_000, mine, claims_may_end=True)
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
        await pool.execute(f"UPDATE task_runs SET wake_time = wake_time - interval '{sql.TURN_SECONDS} s'")

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

    while rows := (await store.due_tasks(place, 3, presence, claims_may_end=True)).rows:
        seen += [row.place.task_id for row in rows]
        place = rows[-1].place

    assert seen == [str(number) for number in range(7)]


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
    values = ("500", f"'{beginning}'", f"'{nobody}'", "''", "-1", "1", "0", f"'{EARLIEST}'", "true")
    async with pool.acquire() as connection:
        for name, setting in sql.SESSION_SETTINGS.items():
            await connection.execute(f"SET {name} = '{setting}'")
        explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"
        (plan, *_) = await explained(connection, explain, statement, values)
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
