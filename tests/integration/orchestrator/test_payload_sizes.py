"""What a field accepts, every read returns, to clients that read the 4 MiB that gRPC reads by default.

The payloads are lists of digits: a digit takes 2 bytes of JSON, and 11 bytes of a google.protobuf.Value.
"""

import asyncio
import json
import random
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from testkit import eventually
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    STRONG,
    Service,
    refusal,
    start_request,
    status_of,
    task_of,
)

MOST_DIGITS = 142_000
"""Nearly 1.5 MiB as a Value."""
TOO_MANY_DIGITS = 450_000
"""900,000 bytes of JSON, and 4.95 MB as a Value."""
ONCE = {"maximum_attempts": 5}
ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}", "retry_policy": ONCE}


def digits(count: int) -> bytes:
    return b"[" + b",".join([b"7"] * count) + b"]"


def digits_struct(count: int) -> Struct:
    struct = Struct()
    struct.get_or_create_list("digits").extend([7] * count)
    return struct


def digits_request(count: int, **fields: Any) -> pb.StartExecutionRequest:
    return pb.StartExecutionRequest(workflow_id="flow", input=digits_struct(count), **fields)


async def test_an_execution_with_the_largest_input_and_output_is_read_by_every_method(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, output="${tasks.only.output}")
    output = digits(MOST_DIGITS)
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        request = digits_request(MOST_DIGITS, request_id="once")
        started = await service.executions.StartExecution(request)
        lease = await worker.lease()
        await worker.succeed(lease, output=output)
        assert await worker.ack(lease) == "RECORDED"
    id_ = started.execution_id
    waited = await service.executions.WaitExecution(pb.WaitExecutionRequest(execution_id=id_))
    assert status_of(waited) == "COMPLETED"
    full = await service.get(id_)
    basic = await service.executions.GetExecution(
        pb.GetExecutionRequest(execution_id=id_, read_consistency=STRONG)
    )
    listed = await service.executions.ListExecutions(pb.ListExecutionsRequest(read_consistency=STRONG))
    repeated = await service.executions.StartExecution(request)
    for shown in (waited, full, basic, listed.executions[0], repeated):
        assert len(shown.output.list_value.values) == MOST_DIGITS
    assert len(full.input["digits"]) == MOST_DIGITS
    assert (await service.events(id_))[-1].final
    # The task has the same input and output again, which do not fit beside those of the execution.
    task = task_of(full, "only")
    assert task.left_out
    assert [task.HasField(name) for name in ("input", "output")] == [False, False]
    alone = await service.get(id_, task_id="only")

    task = task_of(alone, "only")

    assert not task.left_out
    assert len(task.input.struct_value["digits"]) == len(task.output.list_value.values) == MOST_DIGITS
    assert [alone.HasField(name) for name in ("input", "output")] == [False, False]


async def test_an_output_that_is_too_large_as_a_value_fails_the_attempt_and_is_not_retried(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        await worker.succeed(lease, output=digits(TOO_MANY_DIGITS))
        assert await worker.ack(lease) == "REJECTED"

    failure = (await service.get(started.execution_id)).failure

    assert (failure.type, failure.non_retryable) == ("PayloadTooLarge", True)
    assert "output has 4,950,005 bytes as google.protobuf.Value" in failure.message
    assert "at most 1,572,864 are allowed" in failure.message


async def test_an_output_of_an_execution_that_is_too_large_as_a_value_fails_it(
    service: Service, catalog: FakeCatalog
) -> None:
    """Two outputs that fit make one that does not: 3.1 MB as a Value, of 560 KB of JSON."""
    second = {"id": "second", "type": "noop", "input": {}}
    both = ["${tasks.only.output}", "${tasks.second.output}"]
    catalog.publish({**ONE_TASK, "input": {}}, second, output=both)

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        started = await service.start()
        for _ in range(2):
            await worker.succeed(await worker.lease(), output=digits(MOST_DIGITS))
        failed = await service.becomes(started.execution_id, "FAILED", 60)

    assert failed.failure.type == "PayloadTooLarge"
    assert "the output of the workflow has 3,124" in failed.failure.message


async def test_an_input_that_is_too_large_as_a_value_is_refused_with_its_size(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    error = await refusal(service.executions.StartExecution(digits_request(150_000)))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE")
    assert error.metadata["limit_bytes"] == str(1536 * 1024)
    assert int(error.metadata["size_bytes"]) > 1_650_000
    assert error.violations[0].field == "input"


async def test_a_batch_of_large_repeated_starts_is_answered_shortly(
    service: Service, catalog: FakeCatalog
) -> None:
    """Each has completed with an output near the limit: together they have ten times a message."""
    catalog.publish({**ONE_TASK, "input": {}}, output="${tasks.only.output}")
    requests = [start_request(request_id=str(number)) for number in range(30)]
    batch = pb.BatchStartExecutionsRequest(requests=requests)
    first = await service.executions.BatchStartExecutions(batch)
    ids = [result.execution.execution_id for result in first.results]
    async with ScriptedWorker(service.workers, hello(), credits=30) as worker:
        for _ in ids:
            await worker.succeed(await worker.lease(), output=b'"' + b"x" * 1_000_000 + b'"')
        for id_ in ids:
            await service.becomes(id_, "COMPLETED", 60)

    again = await service.executions.BatchStartExecutions(batch)

    assert [result.execution.execution_id for result in again.results] == ids
    assert {status_of(result.execution) for result in again.results} == {"COMPLETED"}
    assert not any(result.execution.HasField("output") for result in again.results)


@pytest.mark.parametrize(("output_bytes", "fits"), [(100, True), (400_000, False)])
async def test_a_repeated_batch_reads_outputs_only_if_its_answer_can_hold_them(
    service: Service,
    catalog: FakeCatalog,
    monkeypatch: pytest.MonkeyPatch,
    output_bytes: int,
    fits: bool,
) -> None:
    """A thousand outputs near the limit would be a gigabyte, of which the answer could show nothing."""
    catalog.publish({**ONE_TASK, "input": {}}, output="${tasks.only.output}")
    batch = pb.BatchStartExecutionsRequest(requests=[start_request(request_id=str(n)) for n in range(3)])
    first = await service.executions.BatchStartExecutions(batch)
    text = random.Random(1).randbytes(output_bytes // 2).hex()  # nothing that can be compressed to little
    async with ScriptedWorker(service.workers, hello(), credits=3) as worker:
        for _ in first.results:
            await worker.succeed(await worker.lease(), output=json.dumps(text).encode())
        for result in first.results:
            await service.becomes(result.execution.execution_id, "COMPLETED", 60)
    read = _noted_outputs(monkeypatch, service)

    for _ in range(2):  # the second time the workflow starts nothing any more
        again = await service.executions.BatchStartExecutions(batch)
        assert [status_of(result.execution) for result in again.results] == ["COMPLETED"] * 3
        shown = [result.execution.output.string_value for result in again.results]
        assert shown == [text if fits else ""] * 3
        catalog.set_status("INACTIVE")

    assert read == ([text] * 6 if fits else [])


def _noted_outputs(monkeypatch: pytest.MonkeyPatch, service: Service) -> list[str]:
    """The outputs that the store reads from now on."""
    read: list[str] = []
    store = service.orchestrator.store
    rows_of = store._rows

    async def rows(statement: str, *arguments: Any) -> list[Any]:
        found = await rows_of(statement, *arguments)
        read.extend(json.loads(row["output"]) for row in found if row.get("output"))
        return found

    monkeypatch.setattr(store, "_rows", rows)
    return read


async def test_a_batch_of_refusals_with_long_texts_is_answered(
    service: Service, catalog: FakeCatalog
) -> None:
    """The details of one are 4 KiB, and those of a thousand more than a message."""
    schema = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1}}
    catalog.publish(ONE_TASK, input_schema=schema)
    bad = start_request({f"field-{number}-" + "é" * 60: "too long" for number in range(20)})
    response = await service.executions.BatchStartExecutions(
        pb.BatchStartExecutionsRequest(requests=[bad] * 1000)
    )

    assert {result.error.code for result in response.results} == {3}
    assert all(result.error.details for result in response.results)


async def test_items_of_a_fan_out_are_read_one_by_one(service: Service, catalog: FakeCatalog) -> None:
    fan_out = {"id": "each", "type": "noop", "for_each": {"items": [1, 2, 3]}}
    catalog.publish(fan_out)
    async with ScriptedWorker(service.workers, hello(), credits=3) as worker:
        started = await service.start()
        for number in range(3):
            lease = await worker.lease()
            assert lease.task.item == number
            await worker.succeed(lease, output=digits(MOST_DIGITS))
        await service.becomes(started.execution_id, "COMPLETED", 60)
    full = await service.get(started.execution_id)
    assert full.ByteSize() <= 4 * 1024 * 1024
    assert any(task.left_out for task in full.tasks)
    for item in range(3):
        (task,) = (await service.get(started.execution_id, task_id="each", item=item)).tasks
        assert (task.item, task.left_out) == (item, False)
        assert len(task.output.list_value.values) == MOST_DIGITS

    whole = await service.get(started.execution_id, task_id="each")

    assert [task.item for task in whole.tasks if task.HasField("item")] == [0, 1, 2]
    assert not (await service.get(started.execution_id, task_id="nothing")).tasks
    assert not (await service.get(started.execution_id, task_id="each", item=3)).tasks


async def test_a_task_whose_own_input_is_left_out_is_not_shown_with_that_of_the_execution(
    service: Service, catalog: FakeCatalog
) -> None:
    tasks = [{"id": f"t{number}", "type": "noop", "input": {"own": "${input.text}"}} for number in range(3)]
    catalog.publish(*tasks)
    started = await service.start({"text": "x" * 600_000})

    full = await service.get(started.execution_id)

    assert {task.task_id: set(task.input.struct_value.fields) for task in full.tasks} == {
        "t0": {"own"},
        "t1": set(),
        "t2": set(),
    }
    assert [task.left_out for task in full.tasks] == [False, True, True]


async def test_queues_are_listed_in_pages(service: Service) -> None:
    names = [f"queue-{number:02d}" for number in range(25)]
    await service.orchestrator.queue._client.sadd("workflow:execution:queues", *names)
    expected = sorted({*names, *await service.orchestrator.queue.queues()})
    found: list[str] = []
    token = ""

    for _ in range(10):
        request = pb.GetQueueStatsRequest(page_size=10, page_token=token)
        page = await service.executions.GetQueueStats(request)
        assert len(page.queues) <= 10
        found += [each.queue for each in page.queues]
        token = page.next_page_token
        if not token:
            break

    assert found == expected


async def test_small_calls_are_answered_beside_large_requests(service: Service, catalog: FakeCatalog) -> None:
    """Large requests are read and converted on a thread. The event loop goes on in the meantime: it answers
    small calls before the large one that came first.
    """
    catalog.publish(ONE_TASK)
    largest = [service.executions.StartExecution(digits_request(MOST_DIGITS)) for _ in range(8)]
    calls = [asyncio.ensure_future(_answer(call)) for call in largest]
    await eventually(lambda: service.orchestrator.executions._requests._thread._waiting_bytes > 0)
    for _ in range(5):
        await service.executions.ListExecutions(pb.ListExecutionsRequest(page_size=1))
    assert not all(call.done() for call in calls)

    for call in calls:
        assert status_of(await call) == "PENDING"


async def _answer(call: Any) -> execution_pb2.Execution:
    return await call


async def test_a_large_input_for_an_unknown_workflow_is_not_converted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def converted(*_: Any) -> str:
        raise AssertionError("the input was converted")

    monkeypatch.setattr("execution_orchestrator.entrypoints.start_requests.payload_text", converted)
    request = digits_request(100_000)
    error = await refusal(service.executions.StartExecution(request))
    assert error.reason == "WORKFLOW_NOT_FOUND"
    batch = pb.BatchStartExecutionsRequest(requests=[request, request])
    response = await service.executions.BatchStartExecutions(batch)
    assert [result.error.code for result in response.results] == [5, 5]
