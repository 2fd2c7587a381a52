"""The contract WorkflowCatalogService, as far as tests of other services rely on it: kept by the fake too."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry
from service_kit.errors import from_rpc_error
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.tools.clock import SystemClock
from testkit.grpc_server import grpc_server
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.entrypoints.error_map import map_error
from workflow_catalog.entrypoints.servicer import WorkflowCatalogServicer
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as pb_grpc
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_pb2 import (
    WORKFLOW_STATUS_ACTIVE,
    WORKFLOW_STATUS_DRAFT,
    WORKFLOW_STATUS_INACTIVE,
)

from tests.fakes.workflow_catalog_service import FakeCatalog

Query = pb.BatchGetWorkflowVersionsRequest.Query
NAME = {"namespace": "default", "workflow_id": "orders"}


def real() -> WorkflowCatalogServicer:
    store = MemoryWorkflowStore()
    versions = Versions(store, MemoryDefinitionCache())
    return WorkflowCatalogServicer(Workflows(store, Reports(store, versions), SystemClock()), versions)


@pytest.fixture(params=[FakeCatalog, real], ids=["fake", "real"])
async def stub(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    servicer = request.param()
    interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()), map_error=map_error)

    def register(server: Any) -> None:
        pb_grpc.add_WorkflowCatalogServiceServicer_to_server(servicer, server)

    async with grpc_server(register, interceptors=[interceptor]) as channel:
        yield pb_grpc.WorkflowCatalogServiceStub(channel)


def definition(description: str) -> WorkflowDefinition:
    tasks = [{"id": "only", "type": "noop"}]
    return ParseDict({"description": description, "tasks": tasks}, WorkflowDefinition())


async def create(stub: Any) -> Any:
    return await stub.CreateWorkflow(pb.CreateWorkflowRequest(**NAME, definition=definition("first")))


async def publish(stub: Any, description: str = "") -> Any:
    if description:
        etag = (await stub.GetWorkflow(pb.GetWorkflowRequest(**NAME))).etag
        changed = definition(description)
        await stub.UpdateWorkflow(pb.UpdateWorkflowRequest(**NAME, definition=changed, etag=etag))
    return await stub.PublishWorkflow(pb.PublishWorkflowRequest(**NAME))


async def answers(stub: Any, *queries: Query) -> list[Any]:
    return list(
        (await stub.BatchGetWorkflowVersions(pb.BatchGetWorkflowVersionsRequest(queries=queries))).answers
    )


async def test_a_new_workflow_is_a_draft_without_a_version(stub: Any) -> None:
    created = await create(stub)

    assert (created.status, created.active_version) == (WORKFLOW_STATUS_DRAFT, 0)


async def test_a_publish_freezes_the_draft_as_the_next_version(stub: Any) -> None:
    await create(stub)

    first, second = await publish(stub), await publish(stub, "second")

    assert (first.status, first.active_version) == (WORKFLOW_STATUS_ACTIVE, 1)
    assert (second.status, second.active_version) == (WORKFLOW_STATUS_ACTIVE, 2)


async def test_a_publish_without_a_change_makes_no_version(stub: Any) -> None:
    await create(stub)
    await publish(stub)

    assert (await publish(stub)).active_version == 1


async def test_versions_are_listed_the_newest_first_and_without_definitions(stub: Any) -> None:
    await create(stub)
    await publish(stub)
    await publish(stub, "second")

    listed = (await stub.ListWorkflowVersions(pb.ListWorkflowVersionsRequest(**NAME))).versions

    assert [version.version for version in listed] == [2, 1]
    assert not any(version.HasField("definition") for version in listed)


async def test_an_answer_has_the_active_version_and_no_definition_that_the_caller_knows(stub: Any) -> None:
    await create(stub)
    await publish(stub)
    await publish(stub, "second")

    active, pinned, known = await answers(
        stub, Query(**NAME), Query(**NAME, version=1), Query(**NAME, known_version=2)
    )

    assert (active.version.version, active.version.definition.description) == (2, "second")
    assert (pinned.version.version, pinned.version.definition.description) == (1, "first")
    assert (known.version.version, known.version.HasField("definition")) == (2, False)


async def test_an_answer_says_whether_the_workflow_is_active(stub: Any) -> None:
    await create(stub)
    await publish(stub)
    await stub.DeactivateWorkflow(pb.DeactivateWorkflowRequest(**NAME))

    (answer,) = await answers(stub, Query(**NAME))

    assert (answer.workflow_status, answer.version.version) == (WORKFLOW_STATUS_INACTIVE, 1)


async def test_a_missing_workflow_or_version_is_an_error_of_its_own_answer(stub: Any) -> None:
    await create(stub)
    await publish(stub)

    missing, unknown, found = await answers(
        stub,
        Query(namespace="default", workflow_id="nothing"),
        Query(**NAME, version=7),
        Query(**NAME),
    )

    assert missing.error.code == unknown.error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert not found.HasField("error")


async def test_a_call_about_a_missing_workflow_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetWorkflow(pb.GetWorkflowRequest(**NAME))

    assert from_rpc_error(caught.value).reason == "WORKFLOW_NOT_FOUND"
