"""B13: the catalog: the time of a check, of a publish, and of a query of the start path."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from workflow_catalog.domain.validation import find_problems
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import WorkflowCatalogServiceStub

from benchmarks.figures import spread_ms
from benchmarks.registry import Context, Result
from benchmarks.stack import Stack

TASKS = 500
CHECKS, CHECKS_QUICK = 40, 5
QUESTIONS, QUESTIONS_QUICK = 2_000, 200
BATCH = 50
WARM_UP = 20


async def run(stack: Stack, context: Context) -> Result:
    """Run the benchmark. Every checked definition has new expressions, so none of them is compiled yet."""
    checks = CHECKS_QUICK if context.quick else CHECKS
    questions = QUESTIONS_QUICK if context.quick else QUESTIONS
    context.say(f"B13: {checks} checks of {TASKS} tasks, {questions:,} questions for versions")
    async with grpc.aio.insecure_channel(stack.catalog) as channel:
        stub = WorkflowCatalogServiceStub(channel)
        figures = {
            "tasks": TASKS,
            "check_alone_ms": spread_ms([_check_alone(number) for number in range(checks)]),
            "validate_ms": await _measured(checks, lambda number: _validate(stub, checks + number)),
            "publish_ms": await _published(stub, checks),
            **await _questions(stub, questions),
        }
    return Result(figures)


def definition(number: int) -> dict[str, Any]:
    """Return 500 tasks in chains of ten; each has its own expression, which is checked against the schema."""
    tasks = [
        {
            "id": f"t{index}",
            "type": "shop.do",
            "needs": [f"t{index - 1}"] if index % 10 else [],
            "input": {"amount": f"${{input.amount + {number * TASKS + index}}}"},
        }
        for index in range(TASKS)
    ]
    properties = {"amount": {"type": "integer"}}
    schema = {"type": "object", "required": ["amount"], "properties": properties}
    return {"input_schema": schema, "tasks": tasks}


def _check_alone(number: int) -> float:
    """Return the seconds of a check as a function call in this process."""
    value = definition(number)
    started = time.perf_counter()
    problems = find_problems(value)
    seconds = time.perf_counter() - started
    if problems:
        raise RuntimeError(f"the definition of the benchmark is broken: {problems[0]}")
    return seconds


async def _validate(stub: WorkflowCatalogServiceStub, number: int) -> Callable[[], Awaitable[Any]]:
    message = ParseDict(definition(number), WorkflowDefinition())
    request = pb.ValidateWorkflowRequest(workflow_id="benchmark-large", definition=message)
    return lambda: stub.ValidateWorkflow(request)


async def _published(stub: WorkflowCatalogServiceStub, count: int) -> dict[str, float]:
    message = ParseDict(definition(0), WorkflowDefinition())
    await stub.CreateWorkflow(pb.CreateWorkflowRequest(workflow_id="benchmark-large", definition=message))

    async def publish(number: int) -> Callable[[], Awaitable[Any]]:
        draft = ParseDict(definition(2 * count + number), WorkflowDefinition())
        request = pb.UpdateWorkflowRequest(workflow_id="benchmark-large", definition=draft, etag="*")
        await stub.UpdateWorkflow(request)
        return lambda: stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="benchmark-large"))

    return await _measured(count, publish)


async def _questions(stub: WorkflowCatalogServiceStub, count: int) -> dict[str, Any]:
    """Measure BatchGetWorkflowVersions, warm: for one version, for fifty, and for one with its definition."""
    ids = [f"benchmark-small-{number}" for number in range(BATCH)]
    small = ParseDict({"tasks": [{"id": "a", "type": "noop"}]}, WorkflowDefinition())
    for workflow_id in ids:
        await stub.CreateWorkflow(pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=small))
        await stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=workflow_id))

    async def ask(names: list[str], known_version: int) -> dict[str, float]:
        query = pb.BatchGetWorkflowVersionsRequest.Query
        queries = [query(workflow_id=name, known_version=known_version) for name in names]
        request = pb.BatchGetWorkflowVersionsRequest(queries=queries)

        async def call(_: int) -> Callable[[], Awaitable[Any]]:
            return lambda: stub.BatchGetWorkflowVersions(request)

        await _measured(WARM_UP, call)
        return await _measured(count, call)

    return {
        "batch_get_of_1_ms": await ask(ids[:1], 1),
        f"batch_get_of_{BATCH}_ms": await ask(ids, 1),
        "batch_get_of_1_with_definition_ms": await ask(ids[:1], 0),
        "batch_get_of_1_beside_checks_ms": await _beside_checks(stub, count // 10, ids[0]),
    }


async def _beside_checks(stub: WorkflowCatalogServiceStub, count: int, workflow_id: str) -> dict[str, float]:
    """Measure queries while two clients have definitions of 500 tasks checked, one after another."""
    query = pb.BatchGetWorkflowVersionsRequest.Query(workflow_id=workflow_id, known_version=1)
    request = pb.BatchGetWorkflowVersionsRequest(queries=[query])

    async def call(_: int) -> Callable[[], Awaitable[Any]]:
        return lambda: stub.BatchGetWorkflowVersions(request)

    async def check(first: int) -> None:
        for number in itertools.count(first):
            await (await _validate(stub, number))()

    checks = [asyncio.create_task(check(1_000_000 * each)) for each in (1, 2)]
    try:
        return await _measured(count, call)
    finally:
        for task in checks:
            task.cancel()
        await asyncio.gather(*checks, return_exceptions=True)


async def _measured(
    count: int, prepare: Callable[[int], Awaitable[Callable[[], Awaitable[Any]]]]
) -> dict[str, float]:
    """Return p50 and p99 of consecutive calls, without their preparation."""
    seconds = []
    for number in range(count):
        call = await prepare(number)
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return spread_ms(seconds)
