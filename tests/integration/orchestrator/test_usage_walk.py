"""Counting what is in flight never walks the history, however large it is and however stale the statistics.

The table is filled after ANALYZE saw it empty, which is when a planner goes wrong.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import reads_sql as read_sql
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.reads import PostgresReads
from execution_orchestrator.application.ports import reads as ports_reads
from execution_orchestrator.application.ports.reads import VersionUsage
from service_kit.data.consistency import STRONG
from testkit.databases import Database, Databases

from tests.integration.orchestrator.filling import connected
from tests.integration.orchestrator.test_plans import nodes

HISTORY = 60_000
QUEUED = 30_000  # of version 7 of `busy`
FILL = f"""
INSERT INTO executions
SELECT uuidv7(), 'default', workflow_id, version, status, NULL, 5, 5, 1,
       status IN ('COMPLETED', 'FAILED'), '{{}}', '{{}}', NULL, NULL, NULL, false, NULL, NULL, now(), now(),
       NULL, NULL, NULL, now(), 1, 1, 0, 0, 0, 0, 0
FROM (
    SELECT 'flow' AS workflow_id, n % 5 + 1 AS version, 'COMPLETED' AS status
    FROM generate_series(1, {HISTORY}) n
    UNION ALL SELECT 'flow', 2, 'RUNNING' FROM generate_series(1, 40)
    UNION ALL SELECT 'flow', 5, 'PAUSED' FROM generate_series(1, 3)
    UNION ALL SELECT 'flow', 5, 'PENDING' FROM generate_series(1, 7)
    UNION ALL SELECT 'busy', 7, 'RUNNING' FROM generate_series(1, 50)
    UNION ALL SELECT 'busy', 7, 'PENDING' FROM generate_series(1, {QUEUED})
    UNION ALL SELECT 'busy', 7, 'PAUSED' FROM generate_series(1, 4)
    UNION ALL SELECT 'busy', 3, 'RUNNING' FROM generate_series(1, 1)
) each
"""


@pytest.fixture(scope="module")
def filled(databases: Databases, database_template: str) -> Iterator[Database]:
    database = databases.create(database_template)
    asyncio.run(_fill(database.url))
    yield database
    databases.drop(database)


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE executions_default SET (autovacuum_enabled = off)")
    await connection.execute("ANALYZE")
    await connection.execute(FILL)
    await connection.close()


@pytest.fixture(params=["the primary's settings", "the replica's settings"])
async def connection(filled: Database, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    """The connections to the primary have the planner's settings of the write path."""
    settings = sql.SESSION_SETTINGS if request.param.startswith("the primary") else {}
    connection = await asyncpg.connect(filled.url, server_settings=settings)
    yield connection
    await connection.close()


@pytest.fixture
async def reads(filled: Database) -> AsyncIterator[PostgresReads]:
    database = await connected(filled.url)
    yield PostgresReads(database)
    await database.close()


async def walked(connection: asyncpg.Connection, workflow_id: str, mode: str) -> int:
    """How many rows of executions the count has looked at; along which index is checked here."""
    explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)"
    async with connection.transaction():
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}; {read_sql.USAGE_SETTINGS}")
        await connection.execute(f"DEALLOCATE ALL; PREPARE usage AS {read_sql.USAGE}")
        text = await connection.fetchval(f"{explain} EXECUTE usage('default', '{workflow_id}', 2147483647)")
    scans = [
        node for node in nodes(json.loads(text)[0]["Plan"]) if "executions" in str(node.get("Relation Name"))
    ]
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}
    assert {node["Index Name"] for node in scans} == {"executions_default_in_flight"}
    return sum(_looked_at(node) for node in scans)


def _looked_at(scan: dict[str, Any]) -> int:
    each = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
    return round(each * scan["Actual Loops"])


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_the_count_looks_at_what_is_in_flight_and_never_at_the_history(
    connection: asyncpg.Connection, mode: str
) -> None:
    assert await walked(connection, "flow", mode) <= 2 * (40 + 3 + 7) + 3  # from both ends
    assert await walked(connection, "never-heard-of", mode) == 0


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_of_a_long_queue_no_more_is_looked_at_than_the_two_ends(
    connection: asyncpg.Connection, mode: str
) -> None:
    assert await walked(connection, "busy", mode) <= 2 * ports_reads.MAX_USAGE_WALK + 5


async def test_every_status_is_counted_up_to_its_maximum(reads: PostgresReads) -> None:
    """What runs is the oldest and what was paused the newest of a long queue: both ends are seen."""
    assert await reads.usage("default", "flow", consistency=STRONG) == [
        VersionUsage(5, pending=7, running=0, paused=3),
        VersionUsage(2, pending=0, running=40, paused=0),
    ]
    assert await reads.usage("default", "busy", consistency=STRONG) == [
        VersionUsage(7, pending=10_000, running=50, paused=4),
        VersionUsage(3, pending=0, running=1, paused=0),
    ]
    assert await reads.usage("team-a", "busy", consistency=STRONG) == []
