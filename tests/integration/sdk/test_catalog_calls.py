"""What the client asks of the catalog about definitions and versions."""

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from workflow_sdk import Client, WorkflowStatus
from workflow_sdk.errors import InvalidRequestError, UnavailableError
from workflow_sdk.testing import FakeGateway, RefusedError
from workflowsystem.catalog.v1 import report_pb2, workflow_catalog_service_pb2, workflow_pb2
from workflowsystem.execution.v1 import execution_service_pb2

UNAVAILABLE = RefusedError(grpc.StatusCode.UNAVAILABLE, "starting", "DRAINING")


async def test_a_definition_is_validated_and_without_one_the_draft_is(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["ValidateWorkflow"] = [UNAVAILABLE, report_pb2.ValidationReport(valid=True)]
    assert (await client.validate_workflow("orders", {"tasks": [{"id": "a", "type": "noop"}]})).valid
    await client.validate_workflow("orders")
    _, given, draft = gateway.requests["ValidateWorkflow"]

    assert (given.namespace, given.workflow_id, given.definition.tasks[0].id) == ("shop", "orders", "a")
    assert not draft.HasField("definition")


async def test_an_empty_definition_is_not_the_draft(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["ValidateWorkflow"] = [report_pb2.ValidationReport()]
    await client.validate_workflow("orders", {})

    assert gateway.requests["ValidateWorkflow"][0].HasField("definition")


async def test_a_value_that_is_not_a_definition_is_refused_before_it_is_sent(
    gateway: FakeGateway, client: Client
) -> None:
    with pytest.raises(InvalidRequestError, match="taks"):
        await client.validate_workflow("orders", {"taks": []})
    assert not gateway.requests["ValidateWorkflow"]


async def test_a_dry_run_is_repeated_also_with_an_etag(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["PublishWorkflow"] = [UNAVAILABLE, workflow_pb2.Workflow(active_version=2)]

    assert (await client.publish_workflow("orders", etag="e1", dry_run=True)).active_version == 2
    assert [request.dry_run for request in gateway.requests["PublishWorkflow"]] == [True, True]


async def test_a_publish_with_an_etag_is_sent_once(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["PublishWorkflow"] = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        await client.publish_workflow("orders", etag="e1")
    (request,) = gateway.requests["PublishWorkflow"]

    assert not request.dry_run


async def test_a_delete_is_sent_once(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["DeleteWorkflow"] = [UNAVAILABLE, Empty()]
    with pytest.raises(UnavailableError):
        await client.delete_workflow("orders", etag="e1")
    await client.delete_workflow("orders", etag="e1")

    assert [request.etag for request in gateway.requests["DeleteWorkflow"]] == ["e1", "e1"]


async def test_versions_are_listed_from_page_to_page(gateway: FakeGateway, client: Client) -> None:
    page = workflow_catalog_service_pb2.ListWorkflowVersionsResponse
    version = workflow_pb2.WorkflowVersion
    gateway.answers["ListWorkflowVersions"] = [
        page(versions=[version(version=3), version(version=2)], next_page_token="more"),
        page(versions=[version(version=1)]),
    ]
    found = [each.version async for each in client.list_workflow_versions("orders", page_size=2)]
    assert found == [3, 2, 1]
    first, second = gateway.requests["ListWorkflowVersions"]

    assert (first.page_size, first.page_token, second.page_token) == (2, "", "more")


async def test_versions_are_compared_as_fresh_as_what_this_client_did(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["PublishWorkflow"] = [workflow_pb2.Workflow(consistency_token="1AA")]
    gateway.answers["CompareWorkflowVersions"] = [report_pb2.WorkflowDifference(base_version=1)]
    await client.publish_workflow("orders")
    await client.compare_workflow_versions("orders", 1, 2)
    (request,) = gateway.requests["CompareWorkflowVersions"]

    assert (request.base_version, request.target_version) == (1, 2)
    assert request.read_consistency.consistency_token == "1AA"


async def test_a_list_passes_every_filter_on(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["ListWorkflows"] = [workflow_catalog_service_pb2.ListWorkflowsResponse()]
    filters = client.list_workflows(
        statuses=[WorkflowStatus.ACTIVE],
        workflow_id_prefix="ord",
        labels={"team": "shop"},
        owner="ada",
    )
    assert [each async for each in filters] == []
    (request,) = gateway.requests["ListWorkflows"]

    assert list(request.statuses) == [workflow_pb2.WORKFLOW_STATUS_ACTIVE]
    assert (request.workflow_id_prefix, dict(request.labels), request.owner) == (
        "ord",
        {"team": "shop"},
        "ada",
    )


async def test_usage_goes_on_to_the_last_page(gateway: FakeGateway, client: Client) -> None:
    usage, page = execution_service_pb2.VersionUsage, execution_service_pb2.WorkflowUsage
    gateway.answers["GetWorkflowUsage"] = [
        page(versions=[usage(version=3)], task_types_without_worker=["b", "c"], next_page_token="more"),
        page(versions=[usage(version=1)], task_types_without_worker=["a", "b"]),
    ]
    found = await client.get_workflow_usage("orders", ["b"])
    assert [each.version for each in found.versions] == [3, 1]
    assert found.task_types_without_worker == ("a", "b", "c")
    requests = gateway.requests["GetWorkflowUsage"]

    assert [(each.page_token, list(each.task_types)) for each in requests] == [("", ["b"]), ("more", [])]


async def test_usage_is_plain_and_says_where_counting_ended(gateway: FakeGateway, client: Client) -> None:
    usage = execution_service_pb2.VersionUsage
    gateway.answers["GetWorkflowUsage"] = [
        UNAVAILABLE,
        execution_service_pb2.WorkflowUsage(
            workflow_id="orders",
            versions=[
                usage(version=3, pending_count=1, running_count=2, paused_count=4),
                usage(version=1, running_count=10_000),
            ],
            task_types_without_worker=["orders.ship"],
        ),
    ]

    found = await client.get_workflow_usage("orders", ["orders.charge", "orders.ship"])

    assert [(v.version, v.in_flight, v.exact) for v in found.versions] == [(3, 7, True), (1, 10_000, False)]
    assert (found.in_flight, found.task_types_without_worker) == (10_007, ("orders.ship",))
    assert list(gateway.requests["GetWorkflowUsage"][0].task_types) == ["orders.charge", "orders.ship"]
