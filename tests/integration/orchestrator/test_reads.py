"""The read RPCs on a real server, over rows as the engine writes them."""

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from execution_orchestrator.adapters.postgres.reads import PostgresReads
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.entrypoints.execution_servicer import ExecutionServicer
from service_kit.errors import ServiceError
from testkit import eventually
from workflow_contract.doorbell import Ring
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.integration.orchestrator.filling import (
    START,
    event_row,
    execution_id,
    execution_row,
    insert,
    task_row,
)
from tests.integration.orchestrator.service import refusal

ONE = str(execution_id(1))
FINAL = {
    "status": "COMPLETED",
    "final": True,
    "output": '{"total": 3}',
    "end_time": START,
    "last_sequence": 2,
}


async def test_basic_has_neither_input_nor_tasks_and_full_has_both(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, input='{"n": 1}', **FINAL))
    done = {"status": "SUCCEEDED", "attempt": 1, "output": "3", "progress": '{"at": 1}', "start_time": START}
    await insert(connection, "task_runs", task_row(1, "sum", **done))
    basic = await stub.GetExecution(pb.GetExecutionRequest(execution_id=ONE))
    assert basic.output.struct_value["total"] == 3
    assert not basic.HasField("input")
    assert len(basic.tasks) == 0
    view = execution_pb2.EXECUTION_VIEW_FULL
    full = await stub.GetExecution(pb.GetExecutionRequest(execution_id=ONE, view=view))
    assert full.input["n"] == 1
    (task,) = full.tasks

    assert (task.input.struct_value["n"], task.output.number_value, task.progress.struct_value["at"]) == (
        1,
        3,
        1,
    )
    assert [attempt.status for attempt in task.attempts] == [execution_pb2.ATTEMPT_STATUS_SUCCEEDED]


async def test_many_executions_tell_how_far_they_have_come_with_one_statement(
    stub: Any, connection: asyncpg.Connection
) -> None:
    await insert(connection, "executions", execution_row(1, **FINAL))
    await insert(connection, "executions", execution_row(2))
    await insert(connection, "executions", execution_row(3) | {"namespace": "other"})
    ids = [str(execution_id(n)) for n in (1, 2, 3, 4)]
    answer = await stub.BatchGetExecutionProgress(pb.BatchGetExecutionProgressRequest(execution_ids=ids))
    found = {each.execution_id: (each.last_sequence, each.status) for each in answer.executions}

    assert set(found) == {ids[0], ids[1]}
    assert found[ids[0]] == (2, execution_pb2.EXECUTION_STATUS_COMPLETED)


@pytest.mark.parametrize(
    ("ids", "field"),
    [([], "execution_ids"), ([ONE] * 1_001, "execution_ids"), ([ONE, "x"], "execution_ids[1]")],
)
async def test_wrong_ids_are_refused_by_name(reads: PostgresReads, ids: list[str], field: str) -> None:
    """This method is not looked through by the general check, for its cost."""
    unused: Any = None
    servicer = ExecutionServicer(unused, unused, reads, unused, unused, unused, unused)

    with pytest.raises(ServiceError) as refused_ids:
        await servicer.BatchGetExecutionProgress(
            pb.BatchGetExecutionProgressRequest(execution_ids=ids), unused
        )
    assert refused_ids.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused_ids.value.violations[0].field == field


async def test_an_execution_that_does_not_exist_is_not_found_by_any_read(stub: Any) -> None:
    for call in (
        stub.GetExecution(pb.GetExecutionRequest(execution_id=ONE)),
        stub.WaitExecution(pb.WaitExecutionRequest(execution_id=ONE)),
        stub.ListExecutionEvents(pb.ListExecutionEventsRequest(execution_id=ONE)),
        stub.StreamExecutionEvents(pb.StreamExecutionEventsRequest(execution_id=ONE)).read(),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
        assert error.metadata == {"execution_id": ONE}


async def test_a_list_is_read_to_its_end_by_page_tokens(stub: Any, connection: asyncpg.Connection) -> None:
    await insert(connection, "executions", *(execution_row(number) for number in range(5)))
    request = pb.ListExecutionsRequest(page_size=2)
    seen, pages = [], 0

    while pages == 0 or request.page_token:
        response = await stub.ListExecutions(request)
        seen += [execution.execution_id for execution in response.executions]
        request.page_token = response.next_page_token
        pages += 1

    assert seen == [str(execution_id(number)) for number in (4, 3, 2, 1, 0)]
    assert pages == 3


async def test_a_list_is_filtered_by_everything_at_once(stub: Any, connection: asyncpg.Connection) -> None:
    await insert(
        connection,
        "executions",
        *(execution_row(number, labels='{"team": "a"}', status="FAILED") for number in range(4)),
        execution_row(4, labels='{"team": "a"}'),
        execution_row(5, status="FAILED"),
    )
    request = pb.ListExecutionsRequest(
        workflow_id="orders",
        statuses=[execution_pb2.EXECUTION_STATUS_FAILED, execution_pb2.EXECUTION_STATUS_PAUSED],
        labels={"team": "a"},
    )
    request.create_time_from.FromDatetime(START.replace(second=1))
    request.create_time_before.FromDatetime(START.replace(second=3))

    response = await stub.ListExecutions(request)

    assert [each.execution_id for each in response.executions] == [str(execution_id(2)), str(execution_id(1))]
    assert response.next_page_token == ""


async def test_a_page_token_of_other_filters_is_refused(stub: Any, connection: asyncpg.Connection) -> None:
    await insert(connection, "executions", *(execution_row(number) for number in range(3)))
    token = (await stub.ListExecutions(pb.ListExecutionsRequest(page_size=1))).next_page_token
    for request in (
        pb.ListExecutionsRequest(page_token=token, workflow_id="orders"),
        pb.ListExecutionsRequest(page_token=token, namespace="team-a"),
        pb.ListExecutionsRequest(page_token=token[:-1]),
    ):
        error = await refusal(stub.ListExecutions(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")

    error = await refusal(
        stub.ListExecutionEvents(pb.ListExecutionEventsRequest(execution_id=ONE, page_token=token))
    )

    assert error.reason == "PAGE_TOKEN_INVALID"


async def test_a_time_that_is_none_is_refused_by_its_field(stub: Any) -> None:
    request = pb.ListExecutionsRequest()
    request.create_time_before.seconds = 10**15
    error = await refusal(stub.ListExecutions(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert error.violations[0].field == "create_time_before"


async def test_events_are_listed_page_by_page_after_a_sequence_number(
    stub: Any, connection: asyncpg.Connection
) -> None:
    details = {"failure": {"type": "ValueError", "message": "no"}}
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "execution_events", *(event_row(1, sequence) for sequence in range(1, 6)))
    await insert(connection, "execution_events", event_row(1, 6, details=json.dumps(details)))
    request = pb.ListExecutionEventsRequest(execution_id=ONE, after_sequence=1, page_size=3)
    first = await stub.ListExecutionEvents(request)
    request.page_token = first.next_page_token

    second = await stub.ListExecutionEvents(request)

    assert [event.sequence for event in first.events] == [2, 3, 4]
    assert [event.sequence for event in second.events] == [5, 6]
    assert second.next_page_token == ""
    assert second.events[1].failure.type == "ValueError"


async def commit_the_end(connection: asyncpg.Connection) -> Ring:
    async with connection.transaction():
        await connection.execute(
            "UPDATE executions SET status = 'COMPLETED', final = true, last_sequence = 2, output = '[1]' "
            "WHERE id = $1",
            execution_id(1),
        )
        end = event_row(1, 2, "EXECUTION_COMPLETED", status="COMPLETED")
        await insert(connection, "execution_events", end)
    return Ring("default", execution_id(1), 2, "COMPLETED")


async def test_a_wait_is_answered_when_the_end_is_committed(
    stub: Any, connection: asyncpg.Connection, waiters: Waiters
) -> None:
    await insert(connection, "executions", execution_row(1))
    call = stub.WaitExecution(pb.WaitExecutionRequest(execution_id=ONE))
    await eventually(lambda: UUID(ONE) in waiters._waiting)
    waiters.ring([await commit_the_end(connection)])
    execution = await asyncio.wait_for(call, 5)

    assert (execution.final, execution.output.list_value[0]) == (True, 1)


async def test_a_wait_that_is_over_tells_how_it_stands(stub: Any, connection: asyncpg.Connection) -> None:
    await insert(connection, "executions", execution_row(1))
    request = pb.WaitExecutionRequest(execution_id=ONE)
    request.timeout.FromMilliseconds(20)
    execution = await stub.WaitExecution(request)

    assert (execution.final, execution.status) == (False, execution_pb2.EXECUTION_STATUS_RUNNING)


async def test_a_stream_ends_with_ok_after_the_final_event(
    stub: Any, connection: asyncpg.Connection, waiters: Waiters
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "execution_events", event_row(1, 1))
    call = stub.StreamExecutionEvents(pb.StreamExecutionEventsRequest(execution_id=ONE))
    first = await call.read()
    assert [event.sequence for event in first.events] == [1]
    waiters.ring([await commit_the_end(connection)])

    second = await call.read()

    assert [(event.sequence, event.final) for event in second.events] == [(2, True)]
    assert await call.read() == grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_a_draining_replica_ends_streams_and_waits(
    stub: Any, connection: asyncpg.Connection, waiters: Waiters
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "execution_events", event_row(1, 1))
    stream = stub.StreamExecutionEvents(pb.StreamExecutionEventsRequest(execution_id=ONE))
    await stream.read()
    wait = stub.WaitExecution(pb.WaitExecutionRequest(execution_id=ONE))
    await eventually(lambda: len(waiters._waiting.get(UUID(ONE), ())) == 2)
    await waiters.drain()

    for call in (stream.read(), wait):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_caller_that_hangs_up_is_not_waited_for_any_more(
    stub: Any, connection: asyncpg.Connection, waiters: Waiters
) -> None:
    await insert(connection, "executions", execution_row(1))
    await insert(connection, "execution_events", event_row(1, 1))
    stream = stub.StreamExecutionEvents(pb.StreamExecutionEventsRequest(execution_id=ONE))
    await stream.read()
    assert waiters._waiting
    stream.cancel()
    await eventually(lambda: not waiters._waiting)


async def test_queue_stats_tell_what_waits(stub: Any, queue: RedisQueue) -> None:
    await queue.push(
        [Hint("default", UUID(ONE), "a", -1, "noop"), Hint("default", UUID(ONE), "b", -1, "noop")]
    )
    await queue.push([Hint("default", UUID(ONE), "c", -1, "noop", "gpu")])
    await queue.pop("gpu", 1, {("default", "noop")})
    response = await stub.GetQueueStats(pb.GetQueueStatsRequest())
    found = {each.queue: (each.length, each.HasField("oldest_age")) for each in response.queues}
    assert found == {"default": (2, True), "gpu": (0, False)}

    one = await stub.GetQueueStats(pb.GetQueueStatsRequest(queue="default"))

    assert [each.length for each in one.queues] == [2]


async def test_an_unreachable_redis_is_named(stub: Any, redis_server: Any) -> None:
    redis_server.kill()
    error = await refusal(stub.GetQueueStats(pb.GetQueueStatsRequest()))

    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert error.metadata == {"dependency": "redis"}
