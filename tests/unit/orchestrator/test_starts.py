"""A batch of starts stays a batch, and each start of it answers for itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.engine.work import StartWork, WorkResult
from execution_orchestrator.application.ports.catalog import (
    CatalogUnavailableError,
    ResolvedVersion,
    VersionQuery,
    WorkflowNotFoundError,
)
from execution_orchestrator.application.starting.input_schema import InputChecks, InputSchemaError
from execution_orchestrator.application.starting.known_task_types import TaskTypes
from execution_orchestrator.application.starting.starts import (
    StartRequest,
    Starts,
    WorkflowNotActiveError,
)
from execution_orchestrator.domain.buckets import bucket_of, bucket_of_request
from execution_orchestrator.domain.errors import TaskTypeUnknownError
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from google.protobuf.json_format import ParseDict
from testkit import eventually
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def definition(**fields: Any) -> bytes:
    tasks = [{"id": "only", "type": "noop"}]
    return ParseDict({"tasks": tasks, **fields}, WorkflowDefinition()).SerializeToString()


class CatalogInMemory:
    """Answers what the test has put into `versions`, once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.questions: list[list[str]] = []
        self.versions: dict[str, ResolvedVersion | Exception] = {
            "orders": ResolvedVersion("ACTIVE", 1, definition())
        }

    async def resolve(self, queries: Sequence[VersionQuery]) -> list[ResolvedVersion | Exception]:
        self.questions.append([query.workflow_id for query in queries])
        await self.gate.wait()
        return [self.versions[query.workflow_id] for query in queries]


class StoreInMemory:
    """Keeps definitions; knows no task types and no request ids."""

    async def save_definition(self, *_: object) -> None:
        return

    async def task_types(self, namespace: str) -> frozenset[str]:
        return frozenset()


class PipelineInMemory:
    """Commits every start at once, but those that the test holds only when the test says so."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self._held: set[str] = set()
        self._works: dict[str, tuple[StartWork, asyncio.Future[WorkResult]]] = {}

    def hold(self, *inputs: str) -> None:
        self._held.update(inputs)

    def submit(self, work: StartWork) -> asyncio.Future[WorkResult]:
        input_ = work.command.input
        self.inputs.append(input_)
        self._works[input_] = (work, asyncio.get_running_loop().create_future())
        if input_ not in self._held:
            self.commit(input_)
        return self._works[input_][1]

    def commit(self, *inputs: str) -> None:
        for each in inputs:
            work, done = self._works[each]
            done.set_result(WorkResult(execution_of(work)))


def execution_of(work: StartWork) -> Execution:
    command = work.command
    return Execution(
        command.execution_id,
        "default",
        command.workflow_id,
        command.version,
        {},
        NOW,
        ExecutionStatus.PENDING,
    )


@pytest.fixture
def catalog() -> CatalogInMemory:
    return CatalogInMemory()


@pytest.fixture
def pipeline() -> PipelineInMemory:
    return PipelineInMemory()


@pytest.fixture
def starts(catalog: CatalogInMemory, pipeline: PipelineInMemory) -> Starts:
    store: Any = StoreInMemory()
    to_pipeline: Any = pipeline
    plans = Plans(store, PlanCompiler())
    return Starts(catalog, store, plans, TaskTypes(store), to_pipeline, InputChecks())


def request(workflow_id: str = "orders", input_: str = "{}") -> StartRequest:
    return StartRequest("default", workflow_id, 0, input_, {})


async def test_a_batch_is_one_question_to_the_catalog_and_goes_into_the_pipeline_in_order(
    starts: Starts, catalog: CatalogInMemory, pipeline: PipelineInMemory
) -> None:
    inputs = [f'{{"n":{number}}}' for number in range(100)]

    results = await starts.start_all([request(input_=each) for each in inputs])

    assert all(isinstance(each, WorkResult) for each in results)
    assert catalog.questions == [["orders"] * 100]
    assert pipeline.inputs == inputs


async def test_each_start_of_a_batch_has_an_error_of_its_own(
    starts: Starts, catalog: CatalogInMemory
) -> None:
    not_found = WorkflowNotFoundError("WORKFLOW_NOT_FOUND", "create it", VersionQuery("default", "nowhere"))
    catalog.versions |= {
        "nowhere": not_found,
        "silent": CatalogUnavailableError("UNAVAILABLE: later"),
        "resting": ResolvedVersion("INACTIVE", 1, definition()),
        "strict": ResolvedVersion("ACTIVE", 1, definition(input_schema={"required": ["n"]})),
        "unknown": ResolvedVersion("ACTIVE", 1, definition(tasks=[{"id": "only", "type": "mail.send"}])),
        "broken": ResolvedVersion("ACTIVE", 1, b"\xff"),
    }
    names = ["orders", *(name for name in catalog.versions if name != "orders"), "orders"]

    results = await starts.start_all([request(name) for name in names])

    assert [type(each).__name__ for each in results] == [
        WorkResult.__name__,
        WorkflowNotFoundError.__name__,
        CatalogUnavailableError.__name__,
        WorkflowNotActiveError.__name__,
        InputSchemaError.__name__,
        TaskTypeUnknownError.__name__,
        "DecodeError",
        WorkResult.__name__,
    ]


async def test_single_starts_that_come_during_a_question_share_the_next_one(
    starts: Starts, catalog: CatalogInMemory
) -> None:
    catalog.versions["refunds"] = catalog.versions["orders"]
    catalog.gate.clear()
    first = asyncio.create_task(starts.start(request()))
    await eventually(lambda: asked(catalog, 1))
    others = [asyncio.create_task(starts.start(request(name))) for name in ("orders", "refunds", "orders")]
    await asyncio.sleep(0)

    catalog.gate.set()
    await asyncio.gather(first, *others)

    assert catalog.questions == [["orders"], ["orders", "refunds", "orders"]]


def asked(catalog: CatalogInMemory, count: int) -> None:
    assert len(catalog.questions) == count


async def test_single_starts_gather_while_two_batches_commit(
    starts: Starts, catalog: CatalogInMemory, pipeline: PipelineInMemory
) -> None:
    starts._door.patience_seconds = 60.0
    pipeline.hold("1", "2")
    committing = [asyncio.create_task(starts.start(request(input_="1")))]
    await eventually(lambda: submitted(pipeline, 1))
    committing.append(asyncio.create_task(starts.start(request(input_="2"))))
    await eventually(lambda: submitted(pipeline, 2))

    others = [asyncio.create_task(starts.start(request(input_=each))) for each in "345"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(catalog.questions) == 2
    pipeline.commit("2")
    await asyncio.gather(*others)

    assert catalog.questions[2:] == [["orders"] * 3]
    assert not committing[0].done()
    pipeline.commit("1")
    await asyncio.gather(*committing)


def submitted(pipeline: PipelineInMemory, count: int) -> None:
    assert len(pipeline.inputs) == count


async def test_slow_commits_hold_up_no_other_start_for_long(
    starts: Starts, pipeline: PipelineInMemory
) -> None:
    """Neither starts of the same batch wait for them, nor starts that come later."""
    pipeline.hold("1", "3", "5")
    slow = []
    for pair in ("12", "34", "56"):
        both = [asyncio.create_task(starts.start(request(input_=each))) for each in pair]
        await asyncio.wait_for(both[1], timeout=5)
        slow.append(both[0])

    assert not any(each.done() for each in slow)
    pipeline.commit("1", "3", "5")
    await asyncio.gather(*slow)


async def test_the_door_waits_for_a_slow_commit_once(starts: Starts, pipeline: PipelineInMemory) -> None:
    starts._door.patience_seconds = 0.01
    pipeline.hold("1", "2", "3")
    slow = [asyncio.create_task(starts.start(request(input_="1")))]
    await eventually(lambda: submitted(pipeline, 1))
    slow.append(asyncio.create_task(starts.start(request(input_="2"))))
    await starts.start(request())

    starts._door.patience_seconds = 60.0
    slow.append(asyncio.create_task(starts.start(request(input_="3"))))
    await eventually(lambda: submitted(pipeline, 4))
    await asyncio.wait_for(starts.start(request()), timeout=5)

    pipeline.commit("1", "2", "3")
    await asyncio.gather(*slow)


async def test_a_caller_that_gives_up_stops_no_other_start_of_its_batch(
    starts: Starts, catalog: CatalogInMemory
) -> None:
    catalog.gate.clear()
    callers = [asyncio.create_task(starts.start(request(input_=str(number)))) for number in range(4)]
    await eventually(lambda: asked(catalog, 1))
    callers[0].cancel()
    await asyncio.wait([callers[0]])

    catalog.gate.set()
    found = await asyncio.gather(*callers, return_exceptions=True)

    assert catalog.questions == [["orders"] * 4]
    assert [type(each) for each in found] == [asyncio.CancelledError, WorkResult, WorkResult, WorkResult]


async def test_starts_whose_evaluation_may_be_large_keep_the_door_open(
    starts: Starts, pipeline: PipelineInMemory
) -> None:
    starts._door.patience_seconds = 60.0
    inputs = [f'"{letter * 200_000}"' for letter in "abc"]
    pipeline.hold(*inputs)
    large = []
    for number, each in enumerate(inputs):
        large.append(asyncio.create_task(starts.start(request(input_=each))))
        await eventually(lambda count=number + 1: submitted(pipeline, count))

    await asyncio.wait_for(starts.start(request()), timeout=5)

    assert not any(each.done() for each in large)
    pipeline.commit(*inputs)
    await asyncio.gather(*large)


async def test_a_batch_is_answered_when_its_last_start_is_committed(
    starts: Starts, pipeline: PipelineInMemory
) -> None:
    large = f'"{"x" * 200_000}"'
    pipeline.hold(large)
    batch = asyncio.create_task(starts.start_all([request(), request(input_=large)]))
    await eventually(lambda: submitted(pipeline, 2))

    pipeline.commit(large)

    assert [type(each) for each in await batch] == [WorkResult, WorkResult]


async def test_lookups_that_arrive_together_share_one_question(
    starts: Starts, catalog: CatalogInMemory
) -> None:
    catalog.versions["resting"] = ResolvedVersion("INACTIVE", 1, b"")
    queries = [VersionQuery("default", name) for name in ("orders", "resting", "orders")]

    found = await asyncio.gather(*map(starts.check_active, queries), return_exceptions=True)

    assert [type(each) for each in found] == [type(None), WorkflowNotActiveError, type(None)]
    assert catalog.questions == [["orders", "resting", "orders"]]


async def test_the_refusals_of_a_batch_are_one_question(starts: Starts, catalog: CatalogInMemory) -> None:
    catalog.versions["resting"] = ResolvedVersion("INACTIVE", 1, b"")

    found = await starts.refusals([VersionQuery("default", name) for name in ("orders", "resting")])

    assert found[0] is None
    assert isinstance(found[1], WorkflowNotActiveError)
    assert catalog.questions == [["orders", "resting"]]


async def test_a_start_and_its_repeat_are_in_the_bucket_of_their_request_id(starts: Starts) -> None:
    """So one lane has both of them, and they need not wait for each other."""
    asked = replace(request(), request_id="order-1")

    first, repeat = await starts.start(asked), await starts.start(asked)

    expected = bucket_of_request("default", "order-1")
    assert [bucket_of(each.execution.id) for each in (first, repeat)] == [expected, expected]
