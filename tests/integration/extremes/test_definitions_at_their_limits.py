"""A definition at a limit of the catalog is published, runs to its end, and can be read in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from workflow_sdk import Client, Worker, task
from workflow_sdk.models import Execution
from workflow_sdk.statuses import ExecutionStatus

PATIENCE_SECONDS = 240.0
LONGEST_ID = "w" + "-" * 61 + "w"
LONGEST_NAME = "a" + "_" * 61 + "z"
LONGEST_TYPE = ".".join(["t" + "-" * 62, "t" + "_" * 63])
MAX_SPAN = "31536000s"
LONGEST_WAIT = "86400s"
WIDE_LABELS = {f"{number:02}" + "é" * 61: "ü" * 63 for number in range(64)}

pytestmark = pytest.mark.timeout(300)


@task(LONGEST_TYPE)
async def echo(value: Any) -> Any:
    return value


@task("limits.text")
async def text(size: Any) -> str:
    return "x" * int(size)


@task("limits.digits")
async def digits(count: Any) -> list[int]:
    return [7] * int(count)


class Stack:
    """A client and a worker of one gateway, both in one namespace."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def completed(self, definition: dict[str, Any], input_: Any = None) -> Execution:
        """Publish the definition, run it to its end, and read it in every way that there is."""
        await self.client.create_workflow(LONGEST_ID, definition)
        await self.client.publish_workflow(LONGEST_ID)
        started = await self.client.start(LONGEST_ID, input_ or {})
        watching = asyncio.create_task(self._watched_to_the_end(started.execution_id))
        ended = await self.client.wait(started.execution_id, PATIENCE_SECONDS)
        assert ended.status is ExecutionStatus.COMPLETED, ended.failure
        await asyncio.wait_for(watching, PATIENCE_SECONDS)
        await self._reads_agree(ended)
        return ended

    async def _watched_to_the_end(self, execution_id: str) -> None:
        updates = [update async for update in self.client.watch(execution_id)]
        sequences = [update.event.sequence for update in updates if update.event is not None]
        assert sequences == sorted(set(sequences))

    async def _reads_agree(self, ended: Execution) -> None:
        id_ = ended.execution_id
        full = await self.client.get(id_, full=True, strong=True)
        (listed,) = [each async for each in self.client.list(workflow_id=ended.workflow_id)]
        (watched,) = [update.snapshot async for update in self.client.watch(id_)]
        assert watched is not None
        for found in (full, listed, watched):
            assert (found.status, found.output) == (ended.status, ended.output)
        events = [event async for event in self.client.events(id_, strong=True)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert events[-1].final


@pytest.fixture
async def stack(gateway_address: str) -> AsyncIterator[Stack]:
    async with running(gateway_address, LONGEST_ID) as stack:
        yield stack


@asynccontextmanager
async def running(address: str, namespace: str) -> AsyncIterator[Stack]:
    handlers = [echo, text, digits]
    worker = Worker(address, tasks=handlers, namespace=namespace, queues=[LONGEST_ID, "default"], grace=1.0)
    stop = asyncio.Event()
    serving = asyncio.create_task(worker.run(stop))
    async with Client.connect(address, namespace, timeout=60) as client:
        yield Stack(client)
        stop.set()
        await serving


def one_task(**fields: Any) -> dict[str, Any]:
    return {"id": LONGEST_NAME, "type": LONGEST_TYPE, **fields}


def output_of(name: str = LONGEST_NAME) -> str:
    return f"${{tasks.{name}.output}}"


async def test_the_longest_names_and_the_most_labels(stack: Stack) -> None:
    definition = {
        "description": "\N{GRINNING FACE}" * 4096,
        "owner": "ö" * 256,
        "labels": WIDE_LABELS,
        "defaults": {"queue": LONGEST_ID},
        "tasks": [one_task(input={"a": 1})],
        "output": output_of(),
    }
    assert (await stack.completed(definition)).output == {"a": 1}

    labels = dict(list(WIDE_LABELS.items())[:16])

    assert len([each async for each in stack.client.list(labels=labels)]) == 1


async def test_the_longest_spans_and_the_most_attempts(stack: Stack) -> None:
    policy = {
        "initial_interval": LONGEST_WAIT,
        "maximum_interval": LONGEST_WAIT,
        "backoff_coefficient": 100,
        "maximum_attempts": 1000,
        "maximum_lost_attempts": 1000,
        "jitter": 1,
        "non_retryable_error_types": ["é" * 253 + f"{number:03}" for number in range(64)],
    }
    timeouts = {"schedule_to_start": MAX_SPAN, "start_to_close": MAX_SPAN, "heartbeat": MAX_SPAN}
    only = one_task(retry_policy=policy, timeouts=timeouts)

    await stack.completed({"execution_timeout": MAX_SPAN, "tasks": [only]})


async def test_the_most_tasks_one_after_the_other(stack: Stack) -> None:
    tasks = [
        one_task(id=f"t{number}", needs=[f"t{number - 1}"] if number else [], input={"n": number})
        for number in range(500)
    ]
    ended = await stack.completed({"tasks": tasks, "output": output_of("t499")})

    assert ended.output == {"n": 499}


async def test_the_most_tasks_each_of_which_needs_all_before_it(stack: Stack) -> None:
    names = [f"t{number}" for number in range(500)]
    tasks = [one_task(id=name, needs=names[:number]) for number, name in enumerate(names)]
    await stack.completed({"tasks": tasks})


async def test_the_most_tasks_with_the_longest_names_at_once(stack: Stack) -> None:
    names = [f"t{number:03}" + "_" * 58 + "z" for number in range(500)]
    tasks = [one_task(id=name) for name in names]
    ended = await stack.completed({"tasks": tasks, "output": output_of(names[-1])})
    full = await stack.client.get(ended.execution_id, full=True, strong=True)

    assert {each.task_id for each in full.tasks} == set(names)


@pytest.mark.parametrize("parallel", [0, 1_000])
async def test_the_widest_fan_out(stack: Stack, parallel: int) -> None:
    for_each = {"items": "${input.items}", "max_parallel": parallel}
    fan_out = one_task(id="f", for_each=for_each, input="${index}")
    ended = await stack.completed(
        {"tasks": [fan_out], "output": "${size(tasks.f.output)}"}, {"items": list(range(10_000))}
    )

    assert ended.output == 10_000


async def test_the_widest_fan_out_over_a_literal_list(stack: Stack) -> None:
    fan_out = one_task(id="f", for_each={"items": list(range(10_000))})
    ended = await stack.completed({"tasks": [fan_out], "output": output_of("f")})

    assert ended.output == list(range(10_000))


def _large_literals() -> Iterator[Any]:
    deep: Any = "deep"
    for _ in range(27):
        deep = [deep]
    yield pytest.param("x" * 1_047_000, id="text")
    yield pytest.param("\N{GRINNING FACE}" * 261_000, id="emoji")
    yield pytest.param([7] * 140_000, id="digits")
    yield pytest.param(deep, id="deep")
    yield pytest.param({"k" * 100_000: {"": [None, True, -0.0, 1e21]}}, id="odd")


@pytest.mark.parametrize("literal", list(_large_literals()))
async def test_the_largest_literals(stack: Stack, literal: Any) -> None:
    ended = await stack.completed({"tasks": [one_task(input=literal)], "output": output_of()})
    assert ended.output == literal


async def test_the_most_expressions(stack: Stack) -> None:
    """500 in each of ten tasks, less the two that are the conditions and the output."""
    values = [f"${{input.n + {each}}}" for each in range(499)]
    tasks = [one_task(id=f"t{number}", input=values) for number in range(10)]
    tasks[0]["when"] = "${input.n > " + "0" * 4_080 + "}"
    ended = await stack.completed({"tasks": tasks, "output": output_of("t9")}, {"n": 1})

    assert ended.output == [each + 1 for each in range(499)]


@pytest.mark.parametrize(
    ("type_", "size"),
    [("limits.text", 1024 * 1024 - 2), ("limits.digits", 142_000)],
    ids=["1 MiB as JSON", "1.5 MiB as a Value"],
)
async def test_the_largest_outputs(stack: Stack, type_: str, size: int) -> None:
    """The output of the task and of the execution: every read has both, or says what it left out."""
    definition = {"tasks": [one_task(type=type_, input="${input.size}")], "output": output_of()}
    ended = await stack.completed(definition, {"size": size})

    assert len(ended.output) == size
