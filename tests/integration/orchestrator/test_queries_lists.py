"""Lists of executions: pages, filters, and that they read no more of a filled table than they give."""

import json
import re
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import reads as queries
from execution_orchestrator.adapters.postgres.reads import PostgresReads, ReadLimits
from execution_orchestrator.application.ports.reads import (
    MAX_LIST_WALK,
    MAX_READ_PAYLOAD_BYTES,
    ExecutionFilter,
)
from execution_orchestrator.domain.state_machine import ExecutionStatus
from service_kit.data.consistency import STRONG
from service_kit.data.database_errors import map_error

from tests.integration.orchestrator.filling import START, execution_id, execution_row, insert

DEFAULT = ExecutionFilter("default")


async def test_lists_go_from_the_newest_to_the_oldest_page_by_page(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", *(execution_row(number) for number in range(5)))
    first = await reads.list_executions(DEFAULT, limit=2)
    second = await reads.list_executions(DEFAULT, limit=2, before=first.executions[-1].id)
    third = await reads.list_executions(DEFAULT, limit=2, before=second.executions[-1].id)
    pages = [[execution.id for execution in page.executions] for page in (first, second, third)]

    assert pages == [[execution_id(n) for n in numbers] for numbers in ((4, 3), (2, 1), (0,))]
    assert [page.more for page in (first, second, third)] == [True, True, False]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"workflow_id": "refunds"}, [6, 0]),
        ({"statuses": (ExecutionStatus.FAILED, ExecutionStatus.PAUSED)}, [3, 2]),
        ({"labels": {"team": "a"}}, [5, 4]),
        ({"labels": {"team": "a", "tier": "1"}}, [5]),
        ({"create_time_from": START + timedelta(seconds=5)}, [6, 5]),
        ({"create_time_before": START + timedelta(seconds=2)}, [1, 0]),
        ({"workflow_id": "refunds", "create_time_from": START + timedelta(seconds=1)}, [6]),
        ({"workflow_id": "nothing"}, []),
    ],
)
async def test_lists_are_filtered(
    reads: PostgresReads, connection: asyncpg.Connection, filters: dict[str, Any], expected: list[int]
) -> None:
    await insert(
        connection,
        "executions",
        execution_row(0, workflow_id="refunds"),
        execution_row(1),
        execution_row(2, status="FAILED"),
        execution_row(3, status="PAUSED"),
        execution_row(4, labels='{"team": "a"}'),
        execution_row(5, labels='{"team": "a", "tier": "1"}'),
        execution_row(6, workflow_id="refunds"),
    )

    page = await reads.list_executions(ExecutionFilter("default", **filters), limit=10)

    assert [execution.id for execution in page.executions] == [execution_id(number) for number in expected]
    assert not page.more


async def test_an_id_made_by_a_clock_that_was_a_little_off_is_still_found(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    early = execution_id(1, ms=int((START + timedelta(seconds=1)).timestamp() * 1000) - 5_000)
    await insert(connection, "executions", execution_row(1, id=early))
    since = ExecutionFilter("default", create_time_from=START + timedelta(seconds=1))

    assert [each.id for each in (await reads.list_executions(since, limit=5)).executions] == [early]


async def test_a_page_of_large_outputs_is_short_and_says_that_more_follow(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    large = json.dumps("x" * (MAX_READ_PAYLOAD_BYTES // 2))
    await insert(connection, "executions", *(execution_row(number, output=large) for number in range(5)))
    page = await reads.list_executions(DEFAULT, limit=5)
    assert [execution.id for execution in page.executions] == [execution_id(4), execution_id(3)]
    assert page.more
    rest = await reads.list_executions(DEFAULT, limit=5, before=execution_id(1))

    assert ([execution.id for execution in rest.executions], rest.more) == ([execution_id(0)], False)


@pytest.mark.parametrize(
    "filters",
    [{"labels": {"team": "none"}}, {"workflow_id": "orders", "statuses": (ExecutionStatus.CANCELLED,)}],
)
@pytest.mark.parametrize("read_limits", [ReadLimits(list_walk=10)], ids=["list_walk"])
async def test_a_filter_that_matches_nothing_walks_a_bounded_way_for_each_page(
    reads: PostgresReads,
    connection: asyncpg.Connection,
    filters: dict[str, Any],
) -> None:
    """Every page is empty, has a next one until the history ends, and looks at each execution once."""
    await insert(connection, "executions", *(execution_row(number) for number in range(25)))
    where = ExecutionFilter("default", **filters)
    before, pages = None, []
    while not pages or pages[-1].next_before is not None:
        pages.append(await reads.list_executions(where, limit=2, before=before))
        before = pages[-1].next_before

    assert [page.executions for page in pages] == [[], [], []]
    assert [page.next_before for page in pages] == [execution_id(15), execution_id(5), None]


@pytest.mark.parametrize("read_limits", [ReadLimits(list_walk=6)], ids=["list_walk"])
async def test_the_pages_of_a_sparse_filter_give_every_match_once(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    matches = [0, 3, 4, 5, 11, 12, 13, 14, 24]
    rows = [execution_row(n, status="FAILED" if n in matches else "RUNNING") for n in range(25)]
    await insert(connection, "executions", *rows)
    where = ExecutionFilter("default", statuses=(ExecutionStatus.FAILED,))
    found, before = [], None

    for _ in range(25):
        page = await reads.list_executions(where, limit=2, before=before)
        found += [execution.id for execution in page.executions]
        before = page.next_before
        if before is None:
            break

    assert found == [execution_id(number) for number in reversed(matches)]
    assert before is None


@pytest.mark.parametrize("read_limits", [ReadLimits(list_seconds=0.05)], ids=["list_seconds"])
async def test_a_list_that_takes_too_long_is_given_up_and_says_what_to_do(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(asyncpg.QueryCanceledError) as caught:
            await reads.list_executions(DEFAULT, limit=2, consistency=STRONG)
    told = map_error(caught.value)

    assert told is not None
    assert "ask for less" in told.message


BY_NAMESPACE, BY_WORKFLOW = "namespace_id_idx", "namespace_workflow_id_id_idx"
WALKS: list[tuple[dict[str, Any], str, int]] = [
    ({}, BY_NAMESPACE, 51),
    ({"workflow_id": "rare"}, BY_WORKFLOW, 10),
    ({"workflow_id": "orders", "statuses": (ExecutionStatus.FAILED,)}, BY_WORKFLOW, 102),
    ({"workflow_id": "orders", "statuses": (ExecutionStatus.CANCELLED,)}, BY_WORKFLOW, MAX_LIST_WALK),
    ({"labels": {"team": "none"}}, BY_NAMESPACE, MAX_LIST_WALK),
    ({"create_time_before": START + timedelta(seconds=50_000)}, BY_NAMESPACE, 51),
    ({"create_time_from": START + timedelta(seconds=99_990)}, BY_NAMESPACE, 11),
]


async def test_a_list_reads_no_more_of_a_filled_table_than_it_gives(connection: asyncpg.Connection) -> None:
    await fill(connection, 100_000)
    for mode in ("force_generic_plan", "force_custom_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        for filters, index, rows in WALKS:
            statement, values = queries.list_query(ExecutionFilter("default", **filters), None, 51)
            explain = f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF, TIMING OFF) {statement.sql}"
            plan = "\n".join(row[0] for row in await connection.fetch(explain, *statement.arguments(values)))
            assert f"Index Scan Backward using executions_default_{index}" in plan
            assert "Sort" not in plan
            scanned = re.findall(r"Index (?:Only )?Scan Backward.*rows=(\d+)", plan)
            assert scanned, plan
            assert all(int(each) <= MAX_LIST_WALK for each in scanned)
            assert abs(int(re.findall(r"Index Scan Backward.*rows=(\d+)", plan)[-1]) - rows) <= 1, plan


async def fill(connection: asyncpg.Connection, number: int) -> None:
    example = execution_row(0)
    others = [name for name in example if name not in ("id", "create_time", "workflow_id", "status")]
    await insert(connection, "executions", example)
    await connection.execute(
        f"INSERT INTO executions (id, create_time, workflow_id, status, {', '.join(others)}) "
        "SELECT (lpad(to_hex(1893456000000 + n * 1000), 12, '0') || '70008000000000000000')::uuid, "
        "to_timestamp(1893456000 + n), CASE WHEN n % 10000 = 0 THEN 'rare' ELSE 'orders' END, "
        f"CASE WHEN n % 2 = 0 THEN 'FAILED' ELSE 'RUNNING' END, {', '.join(others)} "
        "FROM executions, generate_series(1, $2::integer) n WHERE id = $1",
        execution_id(0),
        number,
    )
    await connection.execute("ANALYZE executions")
