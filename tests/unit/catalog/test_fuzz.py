"""Whatever a definition holds: an answer that says what is wrong, no INTERNAL, no write that was refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from grpc import StatusCode as Code
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.tools.clock import SystemClock
from testkit.grpc_testing import Answer, TestServer
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.comparison import compare
from workflow_catalog.domain.validation import find_problems
from workflow_catalog.entrypoints.error_map import map_error
from workflow_catalog.entrypoints.servicer import WorkflowCatalogServicer
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import (
    add_WorkflowCatalogServiceServicer_to_server as add_catalog,
)

from tests.unit.catalog.definitions import DEFINITIONS, JSON, OBJECT_SCHEMAS

SERVICE = "/workflowsystem.catalog.v1.WorkflowCatalogService/"
SEEN = frozenset(
    {Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION}
)


class Catalog:
    """The service on a store in memory, through the interceptors of the real server."""

    def __init__(self) -> None:
        self.store = MemoryWorkflowStore()
        versions = Versions(self.store, MemoryDefinitionCache())
        workflows = Workflows(self.store, Reports(self.store, versions), SystemClock())
        servicer = WorkflowCatalogServicer(workflows, versions)
        interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()), map_error=map_error)
        self.server = TestServer(lambda server: add_catalog(servicer, server), interceptors=[interceptor])

    def call(self, method: str, request: Any) -> Answer:
        answer = self.server.call(SERVICE + method, request)
        assert answer.code in SEEN, (answer.code, answer.details)
        if answer.code is not Code.OK:
            assert answer.details
        return answer

    def stored(self) -> str:
        return repr(self.store.__dict__["_primary"])


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    catalog = Catalog()
    with catalog.server:
        sound = ParseDict({"tasks": [{"id": "a", "type": "noop"}]}, WorkflowDefinition())
        catalog.call("CreateWorkflow", pb.CreateWorkflowRequest(workflow_id="orders", definition=sound))
        catalog.call("PublishWorkflow", pb.PublishWorkflowRequest(workflow_id="orders"))
        yield catalog


def message(definition: dict[str, Any]) -> WorkflowDefinition:
    try:
        return ParseDict(definition, WorkflowDefinition())
    except ParseError:
        assume(False)
        raise


ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@ANY_SPEED
@given(definition=DEFINITIONS)
def test_a_validation_of_anything_answers_and_writes_nothing(
    catalog: Catalog, definition: dict[str, Any]
) -> None:
    before = catalog.stored()
    request = pb.ValidateWorkflowRequest(workflow_id="orders", definition=message(definition))
    answer = catalog.call("ValidateWorkflow", request)
    assert catalog.stored() == before
    if answer.code is Code.OK:
        errors = [problem for problem in answer.response.problems if problem.severity == 1]
        assert answer.response.valid == (not errors)
        assert all(problem.description for problem in answer.response.problems)


@ANY_SPEED
@given(definition=DEFINITIONS, number=st.integers(0, 10**9))
def test_what_a_validation_calls_valid_is_published_and_the_rest_is_not(
    catalog: Catalog, definition: dict[str, Any], number: int
) -> None:
    workflow_id, sent = f"flow-{number}", message(definition)
    validation = pb.ValidateWorkflowRequest(workflow_id=workflow_id, definition=sent)
    report = catalog.call("ValidateWorkflow", validation)
    before = catalog.stored()
    created = catalog.call(
        "CreateWorkflow", pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=sent)
    )
    if created.code is not Code.OK:
        assert catalog.stored() == before
        assert created.code is Code.ALREADY_EXISTS or report.code is not Code.OK or not report.response.valid
        return
    drafted = catalog.stored()
    published = catalog.call("PublishWorkflow", pb.PublishWorkflowRequest(workflow_id=workflow_id))
    assert (published.code is Code.OK) == report.response.valid

    if published.code is not Code.OK:
        assert catalog.stored() == drafted


@ANY_SPEED
@given(definition=DEFINITIONS)
def test_the_checks_take_any_json_of_the_right_form(definition: dict[str, Any]) -> None:
    """Also what the contract's rules would have refused before."""
    message(definition)
    assert all(problem.description for problem in find_problems(definition))


@ANY_SPEED
@given(old=OBJECT_SCHEMAS, new=OBJECT_SCHEMAS, value=JSON)
def test_a_comparison_takes_any_valid_definition(old: Any, new: Any, value: Any) -> None:
    task = {"id": "a", "type": "shop.do"}
    before, after = (
        {"tasks": [task], "input_schema": old},
        {"tasks": [{**task, "input": value}], "input_schema": new},
    )
    if not any(problem.field.startswith("input_schema") for problem in find_problems(before)):
        assert compare(before, after).changes
        assert compare(before, before).changes == ()
