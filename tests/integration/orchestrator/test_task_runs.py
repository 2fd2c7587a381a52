"""ListTaskRuns on a real server, over rows as the engine writes them."""

import json
from typing import Any

import asyncpg
import grpc
import pytest
from execution_orchestrator.adapters.postgres.reads import ReadLimits
from service_kit.rpc import paging
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.integration.orchestrator.filling import (
    START,
    attempt_row,
    execution_id,
    execution_row,
    insert,
    task_row,
)
from tests.integration.orchestrator.service import refusal

ONE = str(execution_id(1))
FULL = execution_pb2.TASK_RUN_VIEW_FULL
FAILED = execution_pb2.TASK_STATUS_FAILED
DONE = {"status": "SUCCEEDED", "attempt": 1, "start_time": START, "end_time": START}
FAN_OUT = {"status": "SUCCEEDED", "start_time": START, "end_time": START, "next_item": 12}
FAILURE = json.dumps({"type": "Boom", "message": "it broke"})


def name_of(run: Any) -> str:
    return f"{run.task_id}[{run.item}]" if run.HasField("item") else str(run.task_id)


async def pages(stub: Any, **fields: Any) -> list[list[Any]]:
    """Every page of a list."""
    request = pb.ListTaskRunsRequest(execution_id=ONE, **fields)
    found = []
    while not found or request.page_token:
        answer = await stub.ListTaskRuns(request)
        found.append(list(answer.task_runs))
        request.page_token = answer.next_page_token
    return found


async def names(stub: Any, **fields: Any) -> list[str]:
    return [name_of(run) for page in await pages(stub, **fields) for run in page]


async def fill(connection: asyncpg.Connection) -> None:
    """A fan-out of twelve items between two tasks: item 3 failed, and item 7 needed three attempts."""
    await insert(connection, "executions", execution_row(1), execution_row(2))
    changes = {3: {"status": "FAILED", "failure": FAILURE}, 7: {"attempt": 3}}
    items = [task_row(1, "load", n, **DONE | {"output": str(n)} | changes.get(n, {})) for n in range(12)]
    await insert(
        connection, "task_runs", task_row(1, "fetch", **DONE), task_row(1, "load", **FAN_OUT), *items
    )
    await insert(connection, "task_runs", task_row(1, "tidy"), task_row(2, "load", 5))
    history = [attempt_row(1, "load", number, "FAILED", 7) for number in (1, 2)]
    await insert(connection, "attempts", *history)


EVERYTHING = ["fetch", "load", *(f"load[{n}]" for n in range(12)), "tidy"]


async def test_every_task_run_is_listed_once_a_task_before_its_items(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)
    for page_size in (1, 4, 5, 1_000):
        assert await names(stub, page_size=page_size) == EVERYTHING

    assert [len(page) for page in await pages(stub, page_size=6)] == [6, 6, 3]


async def test_a_list_is_filtered_by_task_status_and_attempts(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)

    for page_size in (1, 50):
        assert await names(stub, task_id="load", page_size=page_size) == EVERYTHING[1:14]
        assert await names(stub, statuses=[FAILED], page_size=page_size) == ["load[3]"]
        blocked = execution_pb2.TASK_STATUS_BLOCKED
        assert await names(stub, statuses=[FAILED, blocked], page_size=page_size) == ["load[3]", "tidy"]
        assert await names(stub, min_attempt=2, page_size=page_size) == ["load[7]"]
        assert await names(stub, task_id="fetch", statuses=[FAILED], page_size=page_size) == []

    assert await names(stub, task_id="lo") == []


async def test_a_status_that_no_task_run_can_have_yet_matches_nothing(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)

    assert await names(stub, statuses=[execution_pb2.TASK_STATUS_WAITING]) == []


async def test_basic_has_facts_and_full_has_payloads_failures_and_attempts(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)
    (basic,) = await pages(stub, task_id="load")
    assert {name_of(run): run.attempt for run in basic}["load[7]"] == 3
    assert not any(run.HasField("output") or run.HasField("failure") or run.attempts for run in basic)
    assert not any(run.left_out for run in basic)
    (full,) = await pages(stub, task_id="load", view=FULL)

    shown = {name_of(run): run for run in full}

    assert shown["load[5]"].output.number_value == 5
    assert (shown["load[3]"].failure.type, len(shown["load[3]"].attempts)) == ("Boom", 1)
    assert [(each.attempt, each.run_number) for each in shown["load[7]"].attempts] == [(1, 1), (2, 1), (3, 1)]
    assert shown["load[7]"].attempts[0].failure.message == "attempt 1"
    assert [name for name, run in shown.items() if run.left_out] == ["load"]  # its items have the outputs


async def test_a_full_page_ends_before_what_does_not_fit_and_the_next_page_has_it(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    text = json.dumps("x" * 600_000)
    items = [task_row(1, "load", n, **DONE | {"output": text, "output_bytes": len(text)}) for n in range(5)]
    await insert(connection, "task_runs", *items)
    found = await pages(stub, view=FULL)
    assert [len(page) for page in found] == [2, 2, 1]

    for page in found:
        assert [len(run.output.string_value) for run in page] == [600_000] * len(page)
        assert not any(run.left_out for run in page)

    assert [len(page) for page in await pages(stub)] == [5]


async def test_values_that_are_larger_than_their_json_end_a_page_too(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    numbers = json.dumps([1] * 120_000, separators=(",", ":"))  # 240 kB of JSON, 1.3 MB as a Value
    items = [task_row(1, "load", n, **DONE | {"output": numbers, "output_bytes": 240_001}) for n in range(4)]
    await insert(connection, "task_runs", *items)
    found = await pages(stub, view=FULL)

    assert [len(page) for page in found] == [2, 2]
    assert not any(run.left_out for page in found for run in page)


async def test_runs_that_share_a_large_input_of_the_execution_come_on_several_pages(
    stub: Any, connection: asyncpg.Connection
) -> None:
    large = json.dumps({"text": "x" * 700_000})
    await insert(connection, "executions", execution_row(1, input=large))
    await insert(connection, "task_runs", *(task_row(1, "load", n, **DONE) for n in range(3)))
    found = await pages(stub, view=FULL)

    assert [[len(run.input.struct_value["text"]) for run in page] for page in found] == [[700_000]] * 3


@pytest.mark.parametrize("read_limits", [ReadLimits(list_attempts=4)], ids=["list_attempts"])
async def test_a_full_page_ends_before_attempts_that_are_too_many(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(
        connection, "task_runs", *(task_row(1, "load", n, **DONE | {"attempt": 3}) for n in range(3))
    )
    history = [attempt_row(1, "load", number, "FAILED", n) for n in range(3) for number in (1, 2)]
    await insert(connection, "attempts", *history)
    found = await pages(stub, view=FULL)

    assert [[len(run.attempts) for run in page] for page in found] == [[3, 3], [3]]


@pytest.mark.parametrize("read_limits", [ReadLimits(task_run_walk=4)], ids=["task_run_walk"])
async def test_a_filter_looks_at_a_bounded_number_of_task_runs_on_each_page(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)
    for chosen in ({}, {"task_id": "load"}):
        found = await pages(stub, statuses=[FAILED], page_size=10, **chosen)
        assert [name_of(run) for page in found for run in page] == ["load[3]"]
        assert len(found) == 4  # 15 task runs, or 13, four at a time


async def test_an_execution_that_is_not_in_the_namespace_is_not_found(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)
    for request in (
        pb.ListTaskRunsRequest(execution_id=str(execution_id(9))),
        pb.ListTaskRunsRequest(execution_id=ONE, namespace="team-a"),
        pb.ListTaskRunsRequest(execution_id=ONE, namespace="team-a", view=FULL),
    ):
        error = await refusal(stub.ListTaskRuns(request))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")


async def test_a_page_token_is_good_for_the_same_filters_only(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await fill(connection)
    first = await stub.ListTaskRuns(pb.ListTaskRunsRequest(execution_id=ONE, page_size=1))
    others: list[dict[str, Any]] = [
        {"execution_id": str(execution_id(2))},
        {"task_id": "load"},
        {"statuses": [FAILED]},
        {"min_attempt": 1},
    ]
    for other in others:
        request = pb.ListTaskRunsRequest(**{"execution_id": ONE} | other, page_token=first.next_page_token)
        assert (await refusal(stub.ListTaskRuns(request))).reason == "PAGE_TOKEN_INVALID"

    full = pb.ListTaskRunsRequest(execution_id=ONE, view=FULL, page_token=first.next_page_token, page_size=1)

    assert [name_of(run) for run in (await stub.ListTaskRuns(full)).task_runs] == ["load"]


@pytest.mark.parametrize(
    "key", ["load", "load/", "load/x", "load/-2", "load/2147483648", "lo\0ad/1", 7, None]
)
async def test_a_page_token_with_a_key_that_no_task_run_has_is_damaged(
    stub: Any, connection: asyncpg.Connection, key: Any
) -> None:
    await fill(connection)
    bound = paging.filter_hash("ListTaskRuns", "default", ONE, "", [], 0)
    token = paging.encode([key], filter_hash=bound)
    error = await refusal(stub.ListTaskRuns(pb.ListTaskRunsRequest(execution_id=ONE, page_token=token)))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
