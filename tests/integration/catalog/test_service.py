"""The whole service over gRPC, on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from service_kit.errors import from_rpc_error
from workflowsystem.catalog.v1 import definition_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency

STRONG = ReadConsistency(level=ReadConsistency.LEVEL_STRONG)


SOUND: dict[str, Any] = {
    "description": "Prüft & zählt",
    "labels": {"team": "billing"},
    "input_schema": {"type": "object", "required": ["n"]},
    "tasks": [
        {
            "id": "fetch",
            "type": "http.request",
            "input": {"url": "${input.url}", "n": 5, "half": 0.5, "none": None},
        },
        {
            "id": "each",
            "type": "shop.do",
            "needs": ["fetch"],
            "for_each": {"items": "${tasks.fetch.output.body}"},
            "retry_policy": {"maximum_attempts": 2, "initial_interval": "0.5s"},
        },
    ],
    "output": "${tasks.each.output}",
}


def definition(value: dict[str, Any] | None = None, **fields: Any) -> definition_pb2.WorkflowDefinition:
    return json_format.ParseDict(
        {**(SOUND if value is None else value), **fields}, definition_pb2.WorkflowDefinition()
    )


async def created(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    request = pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=definition(**fields))
    return await catalog.stub.CreateWorkflow(request)


async def published(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    await created(catalog, workflow_id, **fields)
    return await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=workflow_id))


async def test_the_life_of_a_workflow_from_create_to_archive(catalog: Any) -> None:
    workflow = await created(catalog)
    assert (workflow.namespace, workflow.workflow_id) == ("default", "orders")
    assert workflow.status == workflow_pb2.WORKFLOW_STATUS_DRAFT
    assert (workflow.active_version, workflow.draft_changed) == (0, True)

    update = pb.UpdateWorkflowRequest(
        workflow_id="orders", definition=definition(owner="team-a"), etag=workflow.etag
    )
    workflow = await catalog.stub.UpdateWorkflow(update)
    assert workflow.definition.owner == "team-a"

    workflow = await catalog.stub.PublishWorkflow(
        pb.PublishWorkflowRequest(workflow_id="orders", etag=workflow.etag)
    )
    assert workflow.status == workflow_pb2.WORKFLOW_STATUS_ACTIVE
    assert (workflow.active_version, workflow.draft_changed) == (1, False)

    for method, request, status in (
        ("DeactivateWorkflow", pb.DeactivateWorkflowRequest, workflow_pb2.WORKFLOW_STATUS_INACTIVE),
        ("DeactivateWorkflow", pb.DeactivateWorkflowRequest, workflow_pb2.WORKFLOW_STATUS_INACTIVE),
        ("ActivateWorkflow", pb.ActivateWorkflowRequest, workflow_pb2.WORKFLOW_STATUS_ACTIVE),
        ("ArchiveWorkflow", pb.ArchiveWorkflowRequest, workflow_pb2.WORKFLOW_STATUS_ARCHIVED),
        ("ArchiveWorkflow", pb.ArchiveWorkflowRequest, workflow_pb2.WORKFLOW_STATUS_ARCHIVED),
    ):
        workflow = await getattr(catalog.stub, method)(request(workflow_id="orders"))
        assert workflow.status == status
    version = await catalog.stub.GetWorkflowVersion(pb.GetWorkflowVersionRequest(workflow_id="orders"))
    assert version.definition.owner == "team-a"


async def test_a_definition_comes_back_as_it_was_sent(catalog: Any) -> None:
    workflow = await published(catalog)
    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))
    version = await catalog.stub.GetWorkflowVersion(
        pb.GetWorkflowVersionRequest(workflow_id="orders", version=1)
    )
    for message in (workflow, read, version):
        assert message.definition == definition()

    assert len(version.content_hash) == 64


async def test_the_fields_that_a_mask_names_are_replaced(catalog: Any) -> None:
    await created(catalog)
    request = pb.UpdateWorkflowRequest(
        workflow_id="orders",
        definition=definition({"labels": {"tier": "1"}, "owner": "unseen"}),
        update_mask=FieldMask(paths=["labels", "description"]),
        etag="*",
    )
    workflow = await catalog.stub.UpdateWorkflow(request)
    expected = definition(labels={"tier": "1"})

    expected.ClearField("description")

    assert workflow.definition == expected


@pytest.mark.parametrize(
    "path", ["labels.team", "tasks.id", "nope", "input_schema.fields", "defaults.nope", ""]
)
async def test_a_mask_of_no_field_is_refused(catalog: Any, path: str) -> None:
    await created(catalog)
    request = pb.UpdateWorkflowRequest(
        workflow_id="orders", definition=definition(), update_mask=FieldMask(paths=["owner", path]), etag="*"
    )
    error = await catalog.refusal(catalog.stub.UpdateWorkflow(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert error.violations[0].field == "update_mask.paths[1]"


async def test_publishing_again_makes_the_next_version_only_if_something_changed(catalog: Any) -> None:
    first = await published(catalog)
    again = await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    assert (again.active_version, again.draft_changed, again.etag) == (1, False, first.etag)
    await catalog.stub.UpdateWorkflow(
        pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition(owner="b"), etag="*")
    )
    second = await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    assert second.active_version == 2

    one = await catalog.stub.GetWorkflowVersion(pb.GetWorkflowVersionRequest(workflow_id="orders", version=1))

    assert one.definition == definition()


async def test_concurrent_publishes_of_one_draft_make_one_version(catalog: Any) -> None:
    await created(catalog)
    request = pb.PublishWorkflowRequest(workflow_id="orders")
    answers = await asyncio.gather(*(catalog.stub.PublishWorkflow(request) for _ in range(10)))

    assert {answer.active_version for answer in answers} == {1}


async def test_of_concurrent_updates_with_one_etag_one_wins(catalog: Any) -> None:
    etag = (await created(catalog)).etag
    requests = [
        pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition(owner=f"o{i}"), etag=etag)
        for i in range(8)
    ]
    answers = await asyncio.gather(*map(catalog.stub.UpdateWorkflow, requests), return_exceptions=True)

    refused = [
        from_rpc_error(answer).reason for answer in answers if isinstance(answer, grpc.aio.AioRpcError)
    ]

    assert refused == ["ETAG_STALE"] * 7


async def test_a_repeated_create_gets_the_first_answer(catalog: Any) -> None:
    request = pb.CreateWorkflowRequest(workflow_id="orders", definition=definition(), request_id="r-1")
    answers = await asyncio.gather(*(catalog.stub.CreateWorkflow(request) for _ in range(5)))
    for answer in answers:
        answer.ClearField("consistency_token")
    assert all(answer == answers[0] for answer in answers)
    request.definition.owner = "changed"
    error = await catalog.refusal(catalog.stub.CreateWorkflow(request))

    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_mutations_token_lets_a_read_see_it(catalog: Any) -> None:
    workflow = await created(catalog)
    token = ReadConsistency(consistency_token=workflow.consistency_token)
    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders", read_consistency=token))

    assert read.etag == workflow.etag


async def test_lists_are_paged_by_id(catalog: Any) -> None:
    ids = [f"flow-{i:02}" for i in range(7)]
    for workflow_id in reversed(ids):
        await created(catalog, workflow_id)
    seen: list[str] = []
    token = ""

    while True:
        request = pb.ListWorkflowsRequest(page_size=3, page_token=token, workflow_id_prefix="flow")
        page = await catalog.stub.ListWorkflows(request)
        for workflow in page.workflows:
            assert workflow.draft_changed
            assert workflow.definition == definition(
                {"description": "Prüft & zählt", "labels": {"team": "billing"}}
            )
        seen += [workflow.workflow_id for workflow in page.workflows]
        token = page.next_page_token
        if not token:
            break

    assert seen == ids


async def test_a_page_token_of_another_list_is_refused(catalog: Any) -> None:
    for workflow_id in ("one", "two"):
        await created(catalog, workflow_id)
    page = await catalog.stub.ListWorkflows(pb.ListWorkflowsRequest(page_size=1))

    for request in (
        pb.ListWorkflowsRequest(page_token=page.next_page_token, namespace="other"),
        pb.ListWorkflowsRequest(
            page_token=page.next_page_token, statuses=[workflow_pb2.WORKFLOW_STATUS_DRAFT]
        ),
        pb.ListWorkflowsRequest(page_token="damaged"),
    ):
        error = await catalog.refusal(catalog.stub.ListWorkflows(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_lists_can_be_narrowed_by_status(catalog: Any) -> None:
    await created(catalog, "a-draft")
    await published(catalog, "an-active")
    request = pb.ListWorkflowsRequest(statuses=[workflow_pb2.WORKFLOW_STATUS_ACTIVE])
    page = await catalog.stub.ListWorkflows(request)

    assert [workflow.workflow_id for workflow in page.workflows] == ["an-active"]


async def test_a_batch_answers_each_question_for_itself(catalog: Any) -> None:
    await published(catalog)
    await created(catalog, "a-draft")
    query = pb.BatchGetWorkflowVersionsRequest.Query
    queries = [
        query(workflow_id="orders"),
        query(workflow_id="orders", known_version=1),
        query(workflow_id="orders", version=2),
        query(workflow_id="a-draft"),
        query(workflow_id="nowhere"),
        query(namespace="other", workflow_id="orders"),
    ]
    response = await catalog.stub.BatchGetWorkflowVersions(
        pb.BatchGetWorkflowVersionsRequest(queries=queries)
    )
    full, known, missing, draft, nowhere, other = response.answers
    assert full.version.definition == definition()
    assert known.version.version == 1
    assert not known.version.HasField("definition")
    assert full.workflow_status == known.workflow_status == workflow_pb2.WORKFLOW_STATUS_ACTIVE
    assert (missing.workflow_status, missing.error.code) == (workflow_pb2.WORKFLOW_STATUS_ACTIVE, 5)
    assert "has no version 2" in missing.error.message
    assert (draft.workflow_status, draft.error.code) == (workflow_pb2.WORKFLOW_STATUS_DRAFT, 5)
    for answer in (nowhere, other):
        assert answer.workflow_status == workflow_pb2.WORKFLOW_STATUS_UNSPECIFIED
        assert answer.error.code == 5


async def test_a_start_after_the_reply_to_a_deactivate_sees_it(catalog: Any) -> None:
    await published(catalog)
    questions = pb.BatchGetWorkflowVersionsRequest(queries=[{"workflow_id": "orders"}])
    await catalog.stub.BatchGetWorkflowVersions(questions)
    await catalog.stub.DeactivateWorkflow(pb.DeactivateWorkflowRequest(workflow_id="orders"))
    response = await catalog.stub.BatchGetWorkflowVersions(questions)

    assert response.answers[0].workflow_status == workflow_pb2.WORKFLOW_STATUS_INACTIVE


async def test_namespaces_do_not_see_each_other(catalog: Any) -> None:
    await created(catalog)
    request = pb.CreateWorkflowRequest(
        namespace="other", workflow_id="orders", definition=definition(owner="x")
    )
    await catalog.stub.CreateWorkflow(request)
    await catalog.stub.ArchiveWorkflow(pb.ArchiveWorkflowRequest(namespace="other", workflow_id="orders"))
    mine = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(namespace="default", workflow_id="orders"))

    assert (mine.status, mine.definition.owner) == (workflow_pb2.WORKFLOW_STATUS_DRAFT, "")
