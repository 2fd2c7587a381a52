"""A batch of starts stays a batch, and each start of it answers for itself."""

import asyncio
from collections.abc import Sequence
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
    """Commits every start at once, or once the test settles it."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.held: dict[str, asyncio.Future[WorkResult]] = {}

    def submit(self, work: StartWork) -> asyncio.Future[WorkResult]:
        self.inputs.append(work.command.input)
        done: asyncio.Future[WorkResult] = asyncio.get_running_loop().create_future()
        if work.command.input in self.held:
            return self.held[work.command.input]
        done.set_result(WorkResult(execution_of(work)))
        return done


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
    """Two batches of single starts may be on their way at the same time; the others wait and gather."""
    catalog.versions["refunds"] = catalog.versions["orders"]
    catalog.gate.clear()
    first = [asyncio.create_task(starts.start(request())) for _ in range(2)]
    await eventually(lambda: asked(catalog, 2))
    names = ["orders", "refunds"] * 4
    others = [asyncio.create_task(starts.start(request(name))) for name in names]
    await asyncio.sleep(0)

    catalog.gate.set()
    await asyncio.gather(*first, *others)

    assert [sorted(question) for question in catalog.questions] == [
        ["orders"],
        ["orders"],
        ["orders"] * 4,
        ["refunds"] * 4,
    ]


def asked(catalog: CatalogInMemory, count: int) -> None:
    assert len(catalog.questions) == count


async def test_a_caller_that_gives_up_stops_no_other_start_of_its_batch(
    starts: Starts, catalog: CatalogInMemory, pipeline: PipelineInMemory
) -> None:
    catalog.gate.clear()
    callers = [asyncio.create_task(starts.start(request(input_=str(number)))) for number in range(4)]
    await eventually(lambda: asked(catalog, 2))
    callers[0].cancel()
    await asyncio.wait([callers[0]])

    catalog.gate.set()
    found = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(each) for each in found] == [asyncio.CancelledError, WorkResult, WorkResult, WorkResult]


async def test_a_start_whose_commit_may_take_long_holds_up_no_other_start_of_its_batch(
    starts: Starts, pipeline: PipelineInMemory
) -> None:
    large = f'"{"x" * 200_000}"'
    pipeline.held[large] = asyncio.get_running_loop().create_future()
    slow = asyncio.create_task(starts.start(request(input_=large)))

    for _ in range(4):
        assert isinstance(await starts.start(request()), WorkResult)

    assert not slow.done()
    slow.cancel()


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
