"""Starts of many workflows that come together, against the real catalog."""

from typing import Any

from google.protobuf.json_format import ParseDict
from prometheus_client import REGISTRY
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.integration.deactivation.conftest import Stack
from tests.integration.orchestrator.service import Service, start_request, status_of

LARGE = 12
TASKS: list[dict[str, Any]] = [
    {"id": f"t{number}", "type": "noop", "input": {"text": "x" * 1_800}} for number in range(450)
]


async def start_together(service: Service, names: list[str]) -> list[str]:
    """The statuses of one start of each, sent as one batch; refusals as their messages."""
    requests = [start_request({}, name) for name in names]
    response = await service.executions.BatchStartExecutions(
        pb.BatchStartExecutionsRequest(requests=requests), timeout=60
    )
    return [each.error.message or status_of(each.execution) for each in response.results]


async def test_an_orchestrator_that_knows_no_definition_yet_starts_many_large_workflows_at_once(
    stack: Stack,
) -> None:
    """Their definitions are over the size of a message together: they come in parts, and only once."""
    definition = ParseDict({"tasks": TASKS}, WorkflowDefinition())
    names = [f"large-{number}" for number in range(LARGE)]
    for name in names:
        await stack.catalog.CreateWorkflow(
            catalog_pb.CreateWorkflowRequest(workflow_id=name, definition=definition)
        )
        await stack.catalog.PublishWorkflow(catalog_pb.PublishWorkflowRequest(workflow_id=name))
    assert definition.ByteSize() * LARGE > 2 * 4 * 1024 * 1024
    for service in stack.orchestrators:
        assert await start_together(service, names) == ["PENDING"] * LARGE

    before = _calls()

    assert await start_together(stack.orchestrators[0], names) == ["PENDING"] * LARGE
    assert _calls() == before + 1


def _calls() -> float:
    return REGISTRY.get_sample_value("workflow_catalog_calls_total") or 0.0
