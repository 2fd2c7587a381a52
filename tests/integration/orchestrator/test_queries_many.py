"""One statement answers many callers, within limits of rows and bytes."""

import json
from uuid import UUID

import asyncpg
from execution_orchestrator.adapters.postgres.reads import PostgresReads
from execution_orchestrator.application.ports.reads import (
    MAX_MANY_BYTES,
    MAX_MANY_EVENTS,
)
from workflow_contract.doorbell import Ring

from tests.integration.orchestrator.filling import (
    event_row,
    execution_id,
    execution_row,
    insert,
)


async def test_many_followers_are_answered_with_one_statement(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(
        connection, "executions", execution_row(1), execution_row(2, status="FAILED", last_sequence=9)
    )
    await insert(connection, "execution_events", *(event_row(1, sequence) for sequence in (1, 2, 3)))
    await insert(connection, "execution_events", event_row(2, 1))
    one, two = execution_id(1), execution_id(2)
    keys = [("default", two, 0), ("default", one, 2), ("default", one, 0), ("default", one, 3)]
    pages = await reads.events_after(keys, 2)
    assert [[event.sequence for event in page.events] for page in pages] == [[1], [3], [1, 2], []]
    assert [page.more for page in pages] == [False, False, True, False]

    executions = await reads.get_many([("default", two), ("default", UUID(int=5)), ("default", one)])

    assert [execution and execution.id for execution in executions] == [two, None, one]
    assert await reads.look([two, UUID(int=5)]) == [Ring("default", two, 9, "FAILED")]


async def test_executions_of_many_callers_are_read_up_to_a_number_of_bytes(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    output = json.dumps("x" * (MAX_MANY_BYTES // 8))
    rows = [execution_row(number, output=output) for number in range(20)]
    await insert(connection, "executions", *rows)
    keys = [("default", execution_id(number)) for number in range(20)]
    keys.insert(1, ("default", UUID(int=5)))

    found = await reads.get_many(keys)

    assert [execution and execution.id for execution in found] == [
        None if id_ == UUID(int=5) else id_ for _, id_ in keys[: len(found)]
    ]
    assert len(found) == 1 + 8  # eight of them reach the limit
    assert len(await reads.get_many(keys[9:])) == 8


async def test_an_execution_that_is_larger_than_the_limit_is_read_alone(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    output = json.dumps("x" * (MAX_MANY_BYTES + 1))
    await insert(connection, "executions", *(execution_row(number, output=output) for number in range(2)))
    keys = [("default", execution_id(number)) for number in range(2)]

    assert len(await reads.get_many(keys)) == 1
    assert len(await reads.get_many(keys[1:])) == 1


async def test_events_of_many_followers_share_a_limit_of_bytes_and_each_gets_the_next_one(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    details = json.dumps({"reason": "x" * 30_000})
    await insert(connection, "executions", execution_row(1))
    await insert(
        connection, "execution_events", *(event_row(1, number, details=details) for number in range(1, 61))
    )
    (alone,) = await reads.events_after([("default", execution_id(1), 0)], 500)
    assert len(alone.events) == 35  # 1 MiB and the event that exceeds it
    assert alone.more

    many = await reads.events_after([("default", execution_id(1), after) for after in range(60)] * 2, 500)

    assert sum(len(page.events) for page in many) * 30_000 <= MAX_MANY_BYTES + 120 * 30_000
    assert [page.events[0].sequence for page in many] == list(range(1, 61)) * 2
    assert [page.more for page in many[:60]] == [True] * 57 + [False] * 3


async def test_events_of_many_followers_share_a_limit_of_rows(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "execution_events", *(event_row(1, number) for number in range(1, 202)))
    pages = await reads.events_after([("default", execution_id(1), 0)] * 100, 500)

    assert {len(page.events) for page in pages} == {MAX_MANY_EVENTS // 100}
    assert all(page.more for page in pages)
