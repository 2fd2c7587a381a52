"""A request id identifies one request, so every field of the request takes part in the comparison.

If a field were left out, two different requests would count as equal, and the second caller would get the
answer of the first one.
"""

from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.entrypoints.start_requests import start_of
from google.protobuf import json_format
from service_kit.tools.clock import SystemClock
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.errors import RequestIdReusedError
from workflow_catalog.entrypoints.servicer import WorkflowCatalogServicer
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog
from workflowsystem.execution.v1 import execution_service_pb2 as execution
from workflowsystem.gateway.v1 import watch_service_pb2 as gateway
from workflowsystem.worker.v1 import worker_service_pb2 as worker

FILES = [each.DESCRIPTOR for each in (catalog, execution, gateway, worker)]
LOOKED_UP_BY = {"namespace": "other", "request_id": "twice"}
"""With another value in one of these the request is a new one, never a repeat."""

START = {"workflow_id": "orders", "request_id": "once", "input": {"n": 1}}
OTHER_STARTS = {"workflow_id": "parcels", "version": 1, "input": {"n": 2}, "labels": {"team": "shop"}}

CREATE = {
    "workflow_id": "orders",
    "request_id": "once",
    "definition": {"tasks": [{"id": "charge", "type": "noop"}]},
}
OTHER_CREATES = {
    "workflow_id": "parcels",
    "definition": {"tasks": [{"id": "charge", "type": "sleep"}]},
}


def fields_of(message: Any) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.fields}


def start(**fields: Any) -> Any:
    return start_of(json_format.ParseDict({**START, **fields}, execution.StartExecutionRequest()))


def create(**fields: Any) -> Any:
    return json_format.ParseDict({**CREATE, **fields}, catalog.CreateWorkflowRequest())


def test_these_are_all_requests_that_have_a_request_id() -> None:
    """A batch of starts has no request id; each of its items has one."""
    found = {
        message.name
        for file in FILES
        for message in file.message_types_by_name.values()
        if "request_id" in message.fields_by_name
    }
    assert found == {"StartExecutionRequest", "CreateWorkflowRequest"}


def test_each_field_of_a_start_has_an_example_here() -> None:
    assert fields_of(execution.StartExecutionRequest) == OTHER_STARTS.keys() | LOOKED_UP_BY.keys()


@pytest.mark.parametrize("field", OTHER_STARTS)
def test_a_start_with_another_value_in_one_field_is_another_start(field: str) -> None:
    assert start(**{field: OTHER_STARTS[field]}).body_hash() != start().body_hash()


def test_a_start_is_looked_up_by_its_namespace_and_its_request_id() -> None:
    one, other = start(), start(**LOOKED_UP_BY)
    assert one.body_hash() == other.body_hash()
    first, second = one.keyed(UUID(int=1)), other.keyed(UUID(int=1))

    assert (first.namespace, first.request_id) == ("default", "once")
    assert (second.namespace, second.request_id) == ("other", "twice")


def test_each_field_of_a_create_has_an_example_here() -> None:
    assert fields_of(catalog.CreateWorkflowRequest) == OTHER_CREATES.keys() | LOOKED_UP_BY.keys()


@pytest.fixture
def servicer() -> WorkflowCatalogServicer:
    store = MemoryWorkflowStore()
    versions = Versions(store, MemoryDefinitionCache())
    return WorkflowCatalogServicer(Workflows(store, Reports(store, versions), SystemClock()), versions)


@pytest.mark.parametrize("field", OTHER_CREATES)
async def test_a_create_with_another_value_in_one_field_is_another_create(
    servicer: WorkflowCatalogServicer, field: str
) -> None:
    await servicer.CreateWorkflow(create(), None)
    with pytest.raises(RequestIdReusedError):
        await servicer.CreateWorkflow(create(**{field: OTHER_CREATES[field]}), None)


async def test_a_create_with_another_namespace_or_request_id_is_a_new_one(
    servicer: WorkflowCatalogServicer,
) -> None:
    await servicer.CreateWorkflow(create(), None)
    for field, value in LOOKED_UP_BY.items():
        created = await servicer.CreateWorkflow(
            create(workflow_id=f"new-{len(field)}", **{field: value}), None
        )
        assert created.workflow_id == f"new-{len(field)}"
