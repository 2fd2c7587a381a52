"""The summary of each task, what a large execution costs to read, and what task runs say of themselves."""

import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import task_reads_sql as task_sql
from execution_orchestrator.adapters.postgres.reads import PostgresReads, ReadLimits
from execution_orchestrator.application.ports.task_runs import TaskChoice
from execution_orchestrator.domain.state_machine import TaskStatus
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.filling import (
    START,
    attempt_row,
    execution_id,
    execution_row,
    insert,
    task_row,
)
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, refusal, task_of

ONE = execution_id(1)
DONE = {"status": "SUCCEEDED", "attempt": 1, "start_time": START, "end_time": START}
LATER = START + timedelta(seconds=5)
ITEMS = """
INSERT INTO task_runs (execution_id, task_id, item, namespace, status, task_type, queue, unmet_needs, attempt,
    failed_attempts, lost_attempts, epoch, items_open, next_item, start_time)
SELECT $1::uuid, $2, n, 'default', CASE WHEN n % 100 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'noop',
    'default', 0, CASE WHEN n % 10 = 0 THEN 3 ELSE 1 END, 0, 0, 0, 0, 0, now()
FROM generate_series(0, $3::integer - 1) n
"""


async def summaries(reads: PostgresReads, task: TaskChoice | None = None) -> dict[str, Any]:
    details = await reads.get_execution("default", ONE, full=task is None, task=task)
    assert details is not None
    return {each.task_id: each for each in details.summaries}


async def test_a_task_is_summed_up_with_its_attempts_from_the_first_start_to_the_end(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    retried = DONE | {"attempt": 3, "start_time": LATER, "end_time": LATER}
    await insert(connection, "task_runs", task_row(1, "a", **DONE), task_row(1, "b", **retried))
    await insert(connection, "task_runs", task_row(1, "c", task_type="other"))
    await insert(connection, "attempts", *(attempt_row(1, "b", number, "FAILED") for number in (1, 2)))

    found = await summaries(reads)

    assert list(found) == ["a", "b", "c"]
    assert (found["a"].status, found["a"].attempts, found["a"].retried) == (TaskStatus.SUCCEEDED, 1, 0)
    assert (found["b"].attempts, found["b"].retried) == (3, 1)
    assert (found["b"].start_time, found["b"].end_time) == (START, LATER)
    assert (found["c"].status, found["c"].task_type, found["c"].start_time) == ("BLOCKED", "other", None)
    assert {each.items for each in found.values()} == {None}


async def test_the_items_of_a_fan_out_are_all_counted_however_many_there_are(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, tasks_total=3_003))
    begun = {"status": "RUNNING", "start_time": START}
    await insert(connection, "task_runs", task_row(1, "large", **begun), task_row(1, "last"))
    await insert(connection, "task_runs", task_row(1, "empty", **begun | {"status": "SUCCEEDED"}))
    await connection.execute(ITEMS, ONE, "large", 3_000)
    found = await summaries(reads)
    large = found["large"]

    assert (large.status, large.start_time) == (TaskStatus.RUNNING, START)
    assert large.items == {TaskStatus.FAILED: 30, TaskStatus.SUCCEEDED: 2_970}
    assert (large.attempts, large.retried) == (3_600, 300)
    assert (found["empty"].items, found["last"].items) == ({}, None)


async def test_the_summary_of_a_chosen_task_comes_without_the_others(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "task_runs", task_row(1, "a", **DONE), task_row(1, "b", **DONE))
    assert list(await summaries(reads, TaskChoice("a"))) == ["a"]
    assert await summaries(reads, TaskChoice("a", 0)) == {}
    details = await reads.get_execution("default", ONE)

    assert details is not None
    assert details.summaries == ()


@pytest.mark.parametrize("read_limits", [ReadLimits(summary_runs=10)], ids=["summary_runs"])
async def test_an_execution_with_too_many_task_runs_has_no_summaries(
    reads: PostgresReads, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, tasks_total=11))
    await insert(connection, "task_runs", task_row(1, "a", **DONE))

    assert await summaries(reads) == {}
    assert list(await summaries(reads, TaskChoice("a"))) == ["a"]  # of one task there are 10,001 at most


@pytest.mark.parametrize("of_task", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("full", [False, True])
async def test_a_page_is_a_walk_along_the_primary_key_whatever_the_statistics_say(
    connection: asyncpg.Connection, of_task: bool, sparse: bool, full: bool
) -> None:
    await connection.execute("ANALYZE task_runs")  # which is empty
    await connection.execute(ITEMS, ONE, "large", 20_000)
    statement = task_sql.list_task_runs(of_task=of_task, sparse=sparse, full=full)
    values = [f"'{ONE}'", "'large'", "15000", "101", "'{FAILED}'", "0"]
    for place, value in reversed(list(enumerate(values, 1))):
        statement = statement.replace(f"${place}", value)
    async with connection.transaction():
        await connection.execute(task_sql.LIST_SETTINGS)
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
    nodes = list(nodes_of(json.loads(plan)[0]["Plan"]))
    assert not [node for node in nodes if node["Node Type"] in ("Seq Scan", "Sort", "Incremental Sort")]
    scans = [node for node in nodes if "Relation Name" in node]

    assert {node["Index Name"] for node in scans} == {"task_runs_default_pkey"}
    assert sum(node["Actual Rows"] for node in scans) <= (5_000 if sparse else 101)


def nodes_of(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)


async def test_a_running_engine_says_since_when_a_task_run_waited_and_of_which_run_it_is(
    service: Service, catalog: FakeCatalog
) -> None:
    each = {"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}, "needs": ["first"]}
    policy = {"maximum_attempts": 2, "initial_interval": "0.01s"}
    catalog.publish({"id": "first", "type": "noop", "retry_policy": policy}, each)
    async with ScriptedWorker(service.workers, hello(), credits=5) as worker:
        id_ = (await service.start({"items": [1, 2]})).execution_id
        await worker.fail(await worker.lease())
        await worker.succeed(await worker.lease())
        await worker.succeed(*await worker.leases(2))
        done = await service.becomes(id_, "COMPLETED")
    first, item = task_of(done, "first"), task_of(done, "each", 1)
    for run in (first, item):
        assert run.ready_time.ToNanoseconds() <= run.start_time.ToNanoseconds()
        assert (run.HasField("ready_time"), run.run_number) == (True, 1)
    began = [attempt.start_time.ToNanoseconds() for attempt in first.attempts]
    assert began[0] < first.ready_time.ToNanoseconds() <= began[1]  # of the last attempt
    assert [attempt.run_number for attempt in first.attempts] == [1, 1]
    assert not task_of(done, "each").HasField("ready_time")
    (expanded,) = [event for event in await service.events(id_) if event.HasField("item_count")]
    assert (expanded.task_id, expanded.item_count, expanded.run_number) == ("each", 2, 1)
    by_task = {summary.task_id: summary for summary in done.task_summaries}

    assert (by_task["each"].item_counts.total, by_task["each"].item_counts.succeeded) == (2, 2)
    assert (by_task["first"].attempt_count, by_task["first"].retried_count) == (2, 1)
    assert by_task["first"].start_time == first.attempts[0].start_time


async def test_a_resume_begins_the_wait_for_a_worker_again(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({"id": "only", "type": "noop"})
    id_ = (await service.start()).execution_id
    before = task_of(await service.get(id_), "only").ready_time.ToNanoseconds()
    await service.pause(id_)
    await service.resume(id_)
    after = task_of(await service.get(id_), "only").ready_time.ToNanoseconds()
    assert after > before

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.succeed(await worker.lease())
        done = await service.becomes(id_, "COMPLETED")

    assert task_of(done, "only").ready_time.ToNanoseconds() == after


async def test_events_task_runs_and_attempts_of_a_later_run_say_so(
    service: Service, catalog: FakeCatalog
) -> None:
    policy = {"maximum_attempts": 2, "initial_interval": "0.01s"}
    catalog.publish({"id": "only", "type": "noop", "retry_policy": policy})
    id_ = (await service.start()).execution_id
    await service.rows("UPDATE executions SET run_number = 2 WHERE id = $1 RETURNING id", id_)
    await service.rows("UPDATE task_runs SET run_number = 2 WHERE execution_id = $1 RETURNING 1", id_)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.fail(await worker.lease())
        await worker.grant(1)
        await worker.succeed(await worker.lease())
        done = await service.becomes(id_, "COMPLETED")
    run = task_of(done, "only")
    assert (done.run_number, run.run_number) == (2, 2)
    assert [attempt.run_number for attempt in run.attempts] == [2, 2]

    numbers = [event.run_number for event in await service.events(id_)]

    assert numbers == [1, *[2] * (len(numbers) - 1)]


async def test_a_wait_for_a_run_that_has_not_begun_is_refused(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({"id": "only", "type": "noop"})
    id_ = (await service.start()).execution_id
    request = pb.WaitExecutionRequest(execution_id=id_, run_number=2)
    error = await refusal(service.executions.WaitExecution(request))
    assert (error.reason, error.metadata) == ("RUN_NOT_STARTED", {"execution_id": id_, "run_number": "1"})
    await service.cancel(id_)
    request.run_number = 1

    answer = await service.executions.WaitExecution(request)

    assert (answer.run_number, answer.final) == (1, True)
    assert answer.status == execution_pb2.EXECUTION_STATUS_CANCELLED
