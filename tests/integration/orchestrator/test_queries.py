"""What the read side gives, from rows as the engine writes them."""

import json
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres.reads import PostgresReads
from execution_orchestrator.application.ports.reads import (
    MAX_READ_PAYLOAD_BYTES,
    ExecutionFilter,
)
from service_kit.data.consistency import STRONG
from testkit.databases import Database, Databases

from tests.integration.orchestrator.filling import (
    START,
    attempt_row,
    connected,
    event_row,
    execution_id,
    execution_row,
    insert,
    task_row,
)

DEFAULT = ExecutionFilter("default")


async def test_an_execution_is_read_as_it_was_written(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    changes = {"labels": '{"team": "a"}', "output": '{"n": 1}', "tasks_total": 3, "tasks_skipped": 1}
    await insert(connection, "executions", execution_row(1, **changes))
    details = await reads.get_execution("default", execution_id(1))

    assert details is not None
    assert (details.execution.id, details.execution.labels) == (execution_id(1), {"team": "a"})
    assert (details.execution.output, details.execution.counts) == ('{"n": 1}', (3, 0, 0, 0, 0, 1))
    assert (details.input, details.tasks) == (None, ())


async def test_an_execution_of_another_namespace_does_not_exist(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, namespace="team-a"))
    await insert(connection, "execution_events", event_row(1, 1, namespace="team-a"))

    assert await reads.get_execution("default", execution_id(1)) is None
    assert await reads.get_execution("default", execution_id(1), full=True) is None
    assert await reads.list_events("default", execution_id(1), after_sequence=0, limit=10) is None
    assert await reads.get_many([("default", execution_id(1))]) == [None]
    assert (await reads.events_after([("default", execution_id(1), 0)], 10))[0].events == []
    assert (await reads.list_executions(DEFAULT, limit=10)).executions == []


async def full(reads: PostgresReads, number: int = 1) -> tuple[str | None, dict[tuple[str, int], Any]]:
    details = await reads.get_execution("default", execution_id(number), full=True)
    assert details is not None
    return details.input, {tuple(task.run.key): task for task in details.tasks}


async def test_every_attempt_is_shown_the_last_from_the_task_itself(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    done = {"attempt": 3, "status": "SUCCEEDED", "output": "7", "worker_id": "worker-2", "start_time": START}
    waiting = {"attempt": 1, "status": "BACKING_OFF"}
    late = {"type": "HeartbeatTimeout", "message": "silent"}
    failed = {"attempt": 1, "status": "FAILED", "failure": json.dumps(late)}
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "task_runs", task_row(1, "done", **done), task_row(1, "failed", **failed))
    await insert(connection, "task_runs", task_row(1, "waiting", **waiting), task_row(1, "untouched"))
    await insert(
        connection,
        "attempts",
        attempt_row(1, "done", 1, "FAILED"),
        attempt_row(1, "done", 2, "LOST"),
        attempt_row(1, "waiting", 1, "FAILED"),
    )
    _, tasks = await full(reads)

    statuses = {
        key[0]: [(each.attempt, each.status) for each in task.attempts] for key, task in tasks.items()
    }

    assert statuses == {
        "done": [(1, "FAILED"), (2, "LOST"), (3, "SUCCEEDED")],
        "failed": [(1, "TIMED_OUT")],
        "untouched": [],
        "waiting": [(1, "FAILED")],
    }
    assert tasks["done", -1].attempts[0].failure.message == "attempt 1"
    assert tasks["done", -1].attempts[2].worker_id == "worker-2"


async def test_the_output_of_a_fan_out_is_the_list_of_its_items_outputs(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    parent = {"status": "SUCCEEDED", "start_time": START}
    item = {"status": "SUCCEEDED", "attempt": 1}
    await insert(connection, "executions", execution_row(1))
    await insert(
        connection,
        "task_runs",
        task_row(1, "pages", **parent),
        task_row(1, "nothing", **parent),
        task_row(1, "plain", **item, output='"x"'),
        *(task_row(1, "pages", number, **item, output=f'{{"n": {number}}}') for number in range(12)),
    )

    _, tasks = await full(reads)

    assert json.loads(tasks["pages", -1].run.output) == [{"n": number} for number in range(12)]
    assert tasks["nothing", -1].run.output == "[]"
    assert tasks["plain", -1].run.output == '"x"'
    assert [key[1] for key in tasks if key[0] == "pages"] == [-1, *range(12)]
    assert tasks["pages", -1].attempts == []


async def test_a_task_without_an_input_of_its_own_took_that_of_the_execution(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, input='{"a": 1}'))
    await insert(
        connection,
        "task_runs",
        task_row(1, "blocked"),
        task_row(1, "fan_out", status="RUNNING", start_time=START),
        task_row(1, "own", status="READY", input='{"b": 2}'),
        task_row(1, "ready", status="READY"),
        task_row(1, "tried", status="CANCELLED", attempt=1),
    )

    execution_input, tasks = await full(reads)

    assert execution_input == '{"a": 1}'
    assert {key[0]: task.run.input for key, task in tasks.items()} == {
        "blocked": None,
        "fan_out": None,
        "own": '{"b": 2}',
        "ready": '{"a": 1}',
        "tried": '{"a": 1}',
    }


async def test_a_thousand_task_runs_are_shown_and_large_payloads_left_out(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    large = json.dumps("x" * (MAX_READ_PAYLOAD_BYTES // 2 - 100))
    await insert(connection, "executions", execution_row(1))
    rows = [
        task_row(1, "pages", n, status="SUCCEEDED", attempt=1, input='"i"', output=large) for n in range(3)
    ]
    rows += [task_row(1, "pages", n, status="READY", input='"i"') for n in range(3, 1100)]
    await insert(connection, "task_runs", task_row(1, "pages", status="RUNNING"), *rows)
    _, tasks = await full(reads)
    assert len(tasks) == 1000

    shown = [task.run.output is not None for key, task in tasks.items() if key[1] in (0, 1, 2)]

    assert shown == [True, True, False]


async def test_a_fan_out_of_a_gigabyte_is_shown_without_reading_its_outputs(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    """The sizes are columns: to add up the outputs themselves took half a minute and a gigabyte of memory."""
    size = 1024 * 1024
    item = {"status": "SUCCEEDED", "attempt": 1, "output": '"a little"', "output_bytes": size}
    parent = {"status": "SUCCEEDED", "start_time": START, "next_item": 1100, "output_bytes": 1100 * size}
    await insert(connection, "executions", execution_row(1))
    rows = [task_row(1, "pages", number, **item) for number in range(1100)]
    await insert(connection, "task_runs", task_row(1, "pages", **parent), *rows)

    _, tasks = await full(reads)

    assert tasks["pages", -1].run.output is None
    assert [key[1] for key, task in tasks.items() if task.run.output is not None] == [0]


async def test_outputs_of_an_earlier_release_which_stored_no_sizes_are_measured(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    large = json.dumps("x" * (MAX_READ_PAYLOAD_BYTES // 2))
    item = {"status": "SUCCEEDED", "attempt": 1, "output": large}
    await insert(connection, "executions", execution_row(1))
    rows = [task_row(1, "pages", number, **item) for number in range(3)]
    parent = {"status": "SUCCEEDED", "start_time": START, "next_item": 3}
    await insert(connection, "task_runs", task_row(1, "pages", **parent), *rows)
    _, tasks = await full(reads)

    assert [key[1] for key, task in tasks.items() if task.run.output is not None] == [0]


async def test_events_come_in_order_after_a_sequence_number(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    details = {
        "failure": {"type": "ValueError", "message": "no", "item": 0},
        "next_attempt_time": START.isoformat(),
        "reason": "because",
    }
    await insert(connection, "executions", execution_row(1), execution_row(2))
    await insert(connection, "execution_events", *(event_row(1, sequence) for sequence in range(1, 5)))
    await insert(connection, "execution_events", event_row(1, 5, item=0, details=json.dumps(details)))
    page = await reads.list_events("default", execution_id(1), after_sequence=2, limit=2)
    assert page is not None
    assert ([event.sequence for event in page.events], page.more) == ([3, 4], True)
    page = await reads.list_events("default", execution_id(1), after_sequence=4, limit=2)
    assert page is not None
    (event,) = page.events

    assert event.failure is not None
    assert (event.failure.item, event.next_attempt_time, event.reason) == (0, START, "because")
    assert (event.item, event.counts, page.more) == (0, (3, 1, 1, 0, 0, 0), False)
    assert await reads.list_events("default", execution_id(1), after_sequence=5, limit=2) == ([], False)
    assert await reads.list_events("default", execution_id(2), after_sequence=0, limit=2) == ([], False)
    assert await reads.list_events("default", execution_id(3), after_sequence=0, limit=2) is None


async def test_a_page_of_large_events_is_short(reads: PostgresReads, connection: asyncpg.Connection) -> None:
    reason = json.dumps({"reason": "x" * (MAX_READ_PAYLOAD_BYTES // 2)})
    await insert(connection, "executions", execution_row(1))
    rows = [event_row(1, sequence, details=reason) for sequence in range(1, 6)]
    await insert(connection, "execution_events", *rows)
    page = await reads.list_events("default", execution_id(1), after_sequence=0, limit=5)

    assert page is not None
    assert ([event.sequence for event in page.events], page.more) == ([1, 2], True)


async def test_what_the_replica_does_not_have_is_asked_of_the_primary(
    database: Database, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases.wait_for_replica(database)
    both = await connected(database.url, database.replica_url)
    reads = PostgresReads(both)
    primary = await asyncpg.connect(database.url)
    asked: list[bool] = []
    plain = both.read

    async def read(query: Any, consistency: Any, *, slow: bool = False) -> Any:
        asked.append(consistency.strong)
        if not consistency.strong:  # a replica that has not heard of it yet
            return None
        return await plain(query, consistency, slow=slow)

    await insert(primary, "executions", execution_row(1))
    monkeypatch.setattr(both, "read", read)
    details = await reads.get_execution("default", execution_id(1))
    assert details is not None
    assert asked == [False, True]
    assert await reads.get_execution("default", execution_id(1), consistency=STRONG) is not None
    assert asked == [False, True, True]
    await primary.close()
    await both.close()


async def test_reads_go_to_the_replica(database: Database, databases: Databases) -> None:
    primary = await asyncpg.connect(database.url)
    await insert(primary, "executions", execution_row(1))
    await insert(primary, "execution_events", event_row(1, 1))
    databases.wait_for_replica(database)
    both = await connected(database.url, database.replica_url)
    reads = PostgresReads(both)
    await both.reads.close()  # now only the replica can answer
    details = await reads.get_execution("default", execution_id(1), full=True)
    assert details is not None
    assert len((await reads.list_executions(DEFAULT, limit=5)).executions) == 1
    page = await reads.list_events("default", execution_id(1), after_sequence=0, limit=5)
    assert page is not None
    assert len(page.events) == 1
    await primary.close()

    await both.close()
