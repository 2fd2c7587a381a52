"""The hot statements stay walks along an index while tables grow and statistics lag.

The tables are filled after ANALYZE saw them empty, which is when a planner goes wrong: 250 rows took 350 ms
the day a plan fell to a hash join.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import lease_sql, upkeep_sql
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.reads import list_query
from execution_orchestrator.application.ports.reads import ExecutionFilter
from testkit.databases import Database, Databases

COUNT = 50_000
WAITING = 20_000  # of them with a READY task, whose time in the queue is not over
DUE = 3
SCANS = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
INDEXES = {
    "claims of a worker process": ("boot",),
    "forget a worker process": ("boot",),
    "due tasks": ("wake_time",),
    "due executions": ("wake_time",),
    "ready hints": ("ready_time",),
    "give time back": ("wake_time", "task_runs_default_pkey", "outages_pkey"),
    "forget request ids": ("create_time",),
}
"""Those that do not look by the primary key."""

FILL = f"""
INSERT INTO executions
SELECT uuidv7(), 'default', 'flow', 1, status, NULL, 5, 5, 1, status = 'COMPLETED', '{{}}', '{{}}', NULL,
       NULL, NULL, false, NULL, NULL, now(), now(), NULL, NULL, NULL,
       CASE WHEN status = 'RUNNING' THEN now() + make_interval(hours => due_in) END, 1, 1, 0, 0, 0, 0, 0
FROM (SELECT CASE WHEN n <= {WAITING} THEN 'RUNNING' ELSE 'COMPLETED' END AS status,
             CASE WHEN n <= {DUE} THEN -1 ELSE 3600 + n END AS due_in
      FROM generate_series(1, {COUNT}) n) each;

INSERT INTO task_runs
    (execution_id, task_id, item, namespace, status, task_type, queue, unmet_needs, attempt, failed_attempts,
     lost_attempts, epoch, items_open, next_item, ready_time, wake_time)
SELECT id, 'only', -1, 'default', CASE WHEN final THEN 'SUCCEEDED' ELSE 'READY' END, 'noop', 'default',
       0, 0, 0, 0, 0, 0, 0, wake_time, wake_time
FROM executions;

INSERT INTO execution_events (execution_id, sequence, namespace, type, status, time, counts)
SELECT id, 1, 'default', 'EXECUTION_CREATED', 'PENDING', now(), '{{1,0,0,0,0,0}}' FROM executions;

INSERT INTO request_ids SELECT 'default', id::text, '\\x00', id, now() FROM executions;
"""

WRITES = sql.combined([sql.UPDATE_EXECUTIONS, sql.UPDATE_TASKS, sql.INSERT_ATTEMPTS, sql.INSERT_EVENTS])
HOT = {
    "lock": sql.LOCK_EXECUTIONS,
    "load tasks": sql.LOAD_TASKS,
    "load task inputs": sql.LOAD_TASK_INPUTS,
    "load execution inputs": sql.LOAD_EXECUTION_INPUTS,
    "load outputs": sql.LOAD_OUTPUTS,
    "existing": sql.EXISTING_EXECUTIONS,
    "existing ids": sql.EXISTING_IDS,
    "has event": sql.HAS_EVENT,
    "give request ids back": sql.FORGET_REQUEST_IDS,
    "write": WRITES,
    "renew a worker process": lease_sql.RENEW_BOOT,
    "renew claims": lease_sql.RENEW_CLAIMS,
    "claims of a worker process": lease_sql.CLAIMS_OF_BOOT,
    "forget a worker process": lease_sql.FORGET_BOOT,
    "held": sql.HELD_CLAIMS,
    "owners": sql.OWNERS_OF_REQUEST_IDS,
    "close": sql.CANCEL_WAITING,
    "revoke": sql.REVOKE_RUNNING,
    "freeze": sql.FREEZE,
    "freeze all": sql.FREEZE_ALL,
    "thaw": sql.THAW,
    "thaw in flight": sql.THAW_IN_FLIGHT,
    "due tasks": sql.DUE_TASKS,
    "due executions": sql.DUE_EXECUTIONS,
    "ready hints": sql.READY_HINTS,
    "give time back": upkeep_sql.GIVE_TIME_BACK,
    "forget request ids": upkeep_sql.FORGET_REQUEST_IDS,
    "still ready": sql.STILL_READY,
}


@pytest.fixture(scope="module")
def filled(databases: Databases, database_template: str) -> Iterator[Database]:
    database = databases.create(database_template)
    asyncio.run(_fill(database.url))
    yield database
    databases.drop(database)


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ANALYZE")
    await connection.execute(FILL)
    await connection.close()


@pytest.fixture
async def connection(filled: Database) -> AsyncIterator[asyncpg.Connection]:
    """As the pipeline connects."""
    connection = await asyncpg.connect(filled.url, server_settings=sql.SESSION_SETTINGS)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_finds_its_rows_by_nested_loops_along_the_right_index(
    connection: asyncpg.Connection, name: str
) -> None:
    plan = await generic_plan(connection, HOT[name])
    kinds = {node["Node Type"] for node in plan}
    assert not {kind for kind in kinds if "Join" in kind or kind == "Seq Scan"}
    looks = [node for node in plan if node["Node Type"] in SCANS]
    assert looks
    for node in looks:
        assert "Index Cond" in node, f"all of {node['Index Name']} would be walked"
        assert any(index in node["Index Name"] for index in INDEXES.get(name, ("pkey",)))


async def generic_plan(connection: asyncpg.Connection, statement: str) -> list[dict[str, Any]]:
    parameters = max(map(int, re.findall(r"\$(\d+)", statement)))
    return await explained(connection, "EXPLAIN (FORMAT JSON)", statement, ["NULL"] * parameters)


async def explained(
    connection: asyncpg.Connection, explain: str, statement: str, literals: Sequence[str]
) -> list[dict[str, Any]]:
    await connection.execute("DEALLOCATE ALL")
    await connection.execute(f"PREPARE hot AS {statement}")
    text = await connection.fetchval(f"{explain} EXECUTE hot({', '.join(literals)})")
    return list(nodes(json.loads(text)[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def looked_at(connection: asyncpg.Connection, statement: str, *literals: str) -> int:
    """How many rows the statement touched to give its answer."""
    plan = await explained(connection, "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)", statement, literals)
    return max(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in plan
    )


async def test_what_is_due_is_found_without_looking_at_what_is_not(connection: asyncpg.Connection) -> None:
    """Every replica asks five times a second, however many executions wait."""
    nothing = ("'1970-01-01'", "'00000000-0000-0000-0000-000000000000'")
    rest = ("1", "0", "'1970-01-01'", "true")

    assert await looked_at(connection, sql.DUE_TASKS, "500", *nothing, "''", "-1", *rest) == DUE
    assert await looked_at(connection, sql.DUE_EXECUTIONS, "500", *nothing, "1", "0") == DUE


async def test_the_sweep_reads_a_page_of_what_has_waited_and_no_more(
    connection: asyncpg.Connection,
) -> None:
    beginning = ("'1970-01-01'", "'00000000-0000-0000-0000-000000000000'", "''", "-1")
    assert await looked_at(connection, sql.READY_HINTS, "'0 s'", *beginning, "10000") == DUE
    all_of_them = "'-1 day'"
    query = (
        "SELECT * FROM task_runs WHERE ready_time IS NOT NULL ORDER BY ready_time, execution_id OFFSET 1000"
    )
    last = await connection.fetchrow(f"{query} LIMIT 1")
    after = [f"'{last[name]}'" for name in ("ready_time", "execution_id", "task_id")]

    assert await looked_at(connection, sql.READY_HINTS, all_of_them, *after, "-1", "100") <= 102


@pytest.mark.parametrize("workflow_id", ["", "flow"])
async def test_the_quarantined_executions_are_listed_without_looking_at_the_others(
    connection: asyncpg.Connection, workflow_id: str
) -> None:
    where = ExecutionFilter("default", workflow_id, quarantined=True)
    statement, values = list_query(where, None, 51)
    async with undone(connection):
        some = "SELECT id FROM executions ORDER BY id LIMIT 3"
        await connection.execute(f"UPDATE executions SET quarantine = '{{}}' WHERE id IN ({some})")
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.sql}"
        text = await connection.fetchval(explain, *statement.arguments(values))

    scans = [node for node in nodes(json.loads(text)[0]["Plan"]) if node["Node Type"] in SCANS]

    assert [node["Index Name"] for node in scans] == ["executions_default_quarantined"]
    assert scans[0]["Actual Rows"] <= 2 * 3, "more than those, and what an undone transaction left"


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction that leaves nothing behind."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
