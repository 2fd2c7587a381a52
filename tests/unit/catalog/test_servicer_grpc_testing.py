"""WorkflowCatalogService under grpcio-testing: codes, reasons and metadata, on the store in memory."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry
from service_kit.errors import STATUS_DETAILS_KEY
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.tools.clock import SystemClock
from testkit.grpc_testing import Answer, TestServer
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.entrypoints.error_map import map_error
from workflow_catalog.entrypoints.servicer import WorkflowCatalogServicer
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import (
    add_WorkflowCatalogServiceServicer_to_server as add_catalog,
)
from workflowsystem.catalog.v1.workflow_pb2 import WORKFLOW_STATUS_ACTIVE, WORKFLOW_STATUS_DRAFT

SERVICE = "/workflowsystem.catalog.v1.WorkflowCatalogService/"
Code = grpc.StatusCode


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server(registry: CollectorRegistry) -> Iterator[TestServer]:
    store = MemoryWorkflowStore()
    versions = Versions(store, MemoryDefinitionCache())
    workflows = Workflows(store, Reports(store, versions), SystemClock())
    servicer = WorkflowCatalogServicer(workflows, versions)
    interceptor = RpcInterceptor(RpcMetrics(registry), map_error=map_error)
    with TestServer(lambda server: add_catalog(servicer, server), interceptors=[interceptor]) as server:
        yield server


def definition(*needs: str) -> WorkflowDefinition:
    task = {"id": "only", "type": "noop", "needs": list(needs)}
    return ParseDict({"tasks": [task]}, WorkflowDefinition())


def create(server: TestServer, *needs: str) -> Answer:
    request = pb.CreateWorkflowRequest(workflow_id="orders", definition=definition(*needs))
    return server.call(SERVICE + "CreateWorkflow", request)


def publish(server: TestServer, **fields: Any) -> Answer:
    return server.call(SERVICE + "PublishWorkflow", pb.PublishWorkflowRequest(workflow_id="orders", **fields))


def details_of(answer: Answer) -> tuple[str, list[str]]:
    """The reason, and the fields that are wrong."""
    status = status_pb2.Status.FromString(answer.trailing_metadata[STATUS_DETAILS_KEY])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    fields = []
    if len(status.details) > 1:
        assert status.details[1].Unpack(bad)
        fields = [violation.field for violation in bad.field_violations]
    return info.reason, fields


def test_a_workflow_is_created_as_a_draft_and_published_as_active(server: TestServer) -> None:
    created, published = create(server), publish(server)

    assert (created.code, created.response.status) == (Code.OK, WORKFLOW_STATUS_DRAFT)
    assert (published.code, published.response.status) == (Code.OK, WORKFLOW_STATUS_ACTIVE)


def test_each_refusal_has_its_code_its_reason_and_its_fields(server: TestServer) -> None:
    missing = publish(server)
    create(server, "nobody")
    broken, taken, stale = publish(server), create(server), publish(server, etag="another")

    malformed = server.call(SERVICE + "CreateWorkflow", pb.CreateWorkflowRequest(workflow_id="My Flow"))

    assert (missing.code, *details_of(missing)) == (Code.NOT_FOUND, "WORKFLOW_NOT_FOUND", [])
    assert (broken.code, *details_of(broken)) == (
        Code.INVALID_ARGUMENT,
        "DEFINITION_INVALID",
        ["tasks[0].needs[0]"],
    )
    assert (taken.code, *details_of(taken)) == (Code.ALREADY_EXISTS, "WORKFLOW_ALREADY_EXISTS", [])
    assert (stale.code, *details_of(stale)) == (Code.ABORTED, "ETAG_STALE", [])
    assert (malformed.code, *details_of(malformed)) == (
        Code.INVALID_ARGUMENT,
        "FIELD_INVALID",
        ["workflow_id", "definition"],
    )


def test_calls_are_counted_by_their_codes(server: TestServer, registry: CollectorRegistry) -> None:
    create(server)
    create(server)

    for code in ("OK", "AlreadyExists"):
        labels = {
            "grpc_type": "unary",
            "grpc_service": "workflowsystem.catalog.v1.WorkflowCatalogService",
            "grpc_method": "CreateWorkflow",
            "grpc_code": code,
        }
        assert registry.get_sample_value("grpc_server_handled_total", labels) == 1
