"""Definitions in memory have an end; what runs is always found again in the database."""

from typing import Any

from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.application.engine.plans import MAX_PLAN_BYTES, size_of
from execution_orchestrator.tuning import Tuning
from google.protobuf.json_format import ParseDict
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service

NAMES = [f"flow-{number}" for number in range(6)]


def two_tasks(name: str) -> list[dict[str, Any]]:
    return [
        {"id": "first", "type": "noop", "input": {"of": name}},
        {"id": "second", "type": "noop", "needs": ["first"], "output_schema": {"type": "string"}},
    ]


def room_for_two() -> Tuning:
    definition = ParseDict({"tasks": two_tasks("flow-0")}, WorkflowDefinition()).SerializeToString()
    one = size_of(PlanCompiler()(definition), definition)
    return Tuning(plan_bytes=int(one * 2.5))


async def test_what_runs_is_found_again_after_its_plan_was_forgotten(
    launch: Launch, catalog: FakeCatalog
) -> None:
    """The catalog has forgotten it, too: what was accepted never waits for it."""
    service = await launch(tuning=room_for_two())
    for name in NAMES:
        catalog.publish(*two_tasks(name), workflow_id=name)
    started = [(await service.start(workflow_id=name)).execution_id for name in NAMES]
    assert len(plans_of(service)) == 2
    catalog.workflows.clear()
    async with ScriptedWorker(service.workers, hello(), credits=len(NAMES)) as worker:
        for _ in range(2):  # each second task is checked by the schema of its own plan
            for lease in await worker.leases(len(NAMES)):
                await worker.succeed(lease, output="text")
        for id_ in started:
            await service.becomes(id_, "COMPLETED")

    plans = plans_of(service)

    assert len(plans) == 2
    assert plans.size_bytes <= plans.max_bytes


def plans_of(service: Service) -> Any:
    return service.orchestrator.plans._plans


def test_a_plan_is_never_too_large_to_be_kept() -> None:
    """Not even the largest that a catalog publishes."""
    tasks = [{"id": f"t{n}", "type": "noop", "input": {"text": "x" * 2_000}} for n in range(500)]
    definition = ParseDict({"tasks": tasks}, WorkflowDefinition()).SerializeToString()

    assert 1_000_000 < len(definition) < 1_100_000
    assert size_of(PlanCompiler()(definition), definition) < MAX_PLAN_BYTES / 4
