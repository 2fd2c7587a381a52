"""Validation, dry runs, differences, versions: what a publish would find and change, over the wire."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from workflow.catalog.v1 import report_pb2, workflow_pb2
from workflow.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflow.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.integration.catalog.stored import stored

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}}
SOUND = {"input_schema": SCHEMA, "tasks": [{"id": "charge", "type": "orders.charge"}]}


def definition(**fields: Any) -> WorkflowDefinition:
    return json_format.ParseDict({**SOUND, **fields}, WorkflowDefinition())


async def create(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    request = pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=definition(**fields))
    return await catalog.stub.CreateWorkflow(request)


async def publish(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    return await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=workflow_id, **fields))


async def update(catalog: Any, **fields: Any) -> workflow_pb2.Workflow:
    request = pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition(**fields), etag="*")
    return await catalog.stub.UpdateWorkflow(request)


async def validate(catalog: Any, **fields: Any) -> report_pb2.ValidationReport:
    return await catalog.stub.ValidateWorkflow(pb.ValidateWorkflowRequest(workflow_id="orders", **fields))


async def test_a_validation_tells_every_problem_with_its_severity_and_suggestion(catalog: Any) -> None:
    tasks = [
        {"id": "fetch_pages", "type": "shop.fetch", "when": "${true}"},
        {"id": "B!", "type": "shop.do", "needs": ["fetch_page"], "retry_policy": {"jitter": 7}},
    ]
    report = await validate(catalog, definition=definition(tasks=tasks))
    assert not report.valid
    assert [(problem.field, problem.severity, problem.suggestion) for problem in report.problems] == [
        ("tasks[1].id", report_pb2.PROBLEM_SEVERITY_ERROR, ""),
        ("tasks[1].retry_policy.jitter", report_pb2.PROBLEM_SEVERITY_ERROR, ""),
        ("tasks[1].needs[0]", report_pb2.PROBLEM_SEVERITY_ERROR, "fetch_pages"),
        ("tasks[0].when", report_pb2.PROBLEM_SEVERITY_WARNING, ""),
    ]
    assert "did you mean `fetch_pages`?" in report.problems[2].description


async def test_a_validation_of_a_definition_writes_nothing_and_needs_no_workflow(catalog: Any) -> None:
    before = await stored(catalog)
    report = await validate(catalog, definition=definition())
    assert report.valid
    assert len(report.content_hash) == 64
    assert not report.HasField("difference")
    assert await stored(catalog) == before


async def test_a_validation_without_a_definition_is_of_the_draft(catalog: Any) -> None:
    error = await catalog.refusal(
        catalog.stub.ValidateWorkflow(pb.ValidateWorkflowRequest(workflow_id="orders"))
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    await create(catalog, output="${tasks.nope.output}")
    report = await validate(catalog)
    assert [problem.field for problem in report.problems] == ["output"]


async def test_a_dry_run_says_what_a_publish_would_change_and_writes_nothing(catalog: Any) -> None:
    await create(catalog)
    await publish(catalog)
    await update(catalog, input_schema={**SCHEMA, "required": ["amount"]}, description="Charges")
    before = await stored(catalog)
    report = (await publish(catalog, dry_run=True)).report
    assert await stored(catalog) == before
    assert report.valid
    assert report.difference.base_version == 1
    assert report.difference.change_class == report_pb2.CHANGE_CLASS_MAJOR
    changes = {change.path: change for change in report.difference.changes}
    assert set(changes) == {"description", "input_schema.required"}
    assert changes["description"].change_class == report_pb2.CHANGE_CLASS_PATCH
    assert "must have `amount` now" in changes["input_schema.required"].reason
    assert changes["input_schema.required"].kind == report_pb2.CHANGE_KIND_ADDED
    assert json_format.MessageToDict(changes["input_schema.required"].after) == ["amount"]
    published = await publish(catalog)
    assert published.active_version == 2
    assert published.report == report


async def test_a_dry_run_of_a_broken_draft_is_a_report_and_a_publish_of_it_an_error(catalog: Any) -> None:
    await create(catalog, output="${tasks.charg.output}")
    report = (await publish(catalog, dry_run=True)).report
    assert not report.valid
    assert report.problems[0].suggestion == "charge"
    error = await catalog.refusal(publish(catalog))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DEFINITION_INVALID")
    assert [violation.field for violation in error.violations] == [each.field for each in report.problems]


async def test_a_dry_run_is_refused_where_the_publish_would_be(catalog: Any) -> None:
    await create(catalog)
    await publish(catalog)
    await catalog.stub.DeactivateWorkflow(pb.DeactivateWorkflowRequest(workflow_id="orders"))
    for dry_run in (True, False):
        error = await catalog.refusal(publish(catalog, dry_run=dry_run))
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_STATUS_CONFLICT")


async def test_publishing_an_unchanged_draft_says_that_nothing_was_published(catalog: Any) -> None:
    await create(catalog)
    first = await publish(catalog)
    again = await publish(catalog)
    assert again.active_version == first.active_version == 1
    assert again.report.difference.change_class == report_pb2.CHANGE_CLASS_NONE
    assert again.report.difference.base_version == 1
    assert again.report.content_hash == first.report.content_hash


async def test_warnings_do_not_keep_a_draft_from_being_published(catalog: Any) -> None:
    await create(catalog, output="${input.amount}")
    published = await publish(catalog)
    assert published.active_version == 1
    assert [problem.severity for problem in published.report.problems] == [
        report_pb2.PROBLEM_SEVERITY_WARNING
    ]


async def test_a_child_must_be_active_when_its_parent_is_published(catalog: Any) -> None:
    child = {"id": "refund", "type": "workflow", "workflow": {"workflow_id": "refunds"}}
    await create(catalog, tasks=[child])
    problems = (await publish(catalog, dry_run=True)).report.problems
    assert "there is no workflow `refunds`" in problems[0].description
    await create(catalog, "refunds")
    problems = (await publish(catalog, dry_run=True)).report.problems
    assert "`refunds` is DRAFT" in problems[0].description
    await publish(catalog, "refunds")
    assert (await publish(catalog)).active_version == 1
    back = {"id": "order", "type": "workflow", "workflow": {"workflow_id": "orders"}}
    await catalog.stub.UpdateWorkflow(
        pb.UpdateWorkflowRequest(workflow_id="refunds", definition=definition(tasks=[back]), etag="*")
    )
    problems = (await publish(catalog, "refunds", dry_run=True)).report.problems
    assert "refunds -> orders -> refunds" in problems[0].description


async def test_versions_are_listed_newest_first_page_by_page(catalog: Any) -> None:
    await create(catalog)
    for number in range(5):
        await update(catalog, description=str(number))
        await publish(catalog)
    seen, token = [], ""
    while True:
        request = pb.ListWorkflowVersionsRequest(workflow_id="orders", page_size=2, page_token=token)
        page = await catalog.stub.ListWorkflowVersions(request)
        assert all(not version.HasField("definition") and version.content_hash for version in page.versions)
        seen += [version.version for version in page.versions]
        token = page.next_page_token
        if not token:
            break
    assert seen == [5, 4, 3, 2, 1]


async def test_a_draft_has_no_versions_and_nothing_has_none(catalog: Any) -> None:
    await create(catalog)
    page = await catalog.stub.ListWorkflowVersions(pb.ListWorkflowVersionsRequest(workflow_id="orders"))
    assert not page.versions
    error = await catalog.refusal(
        catalog.stub.ListWorkflowVersions(pb.ListWorkflowVersionsRequest(workflow_id="nowhere"))
    )
    assert error.reason == "WORKFLOW_NOT_FOUND"


async def test_versions_and_the_draft_can_be_compared(catalog: Any) -> None:
    await create(catalog, description="one")
    await publish(catalog)
    await update(catalog, description="two")
    await publish(catalog)
    await update(catalog, description="three")

    async def compared(base: int, target: int) -> tuple[int, int, list[tuple[Any, Any]]]:
        request = pb.CompareWorkflowVersionsRequest(
            workflow_id="orders", base_version=base, target_version=target
        )
        found = await catalog.stub.CompareWorkflowVersions(request)
        words = [(change.before.string_value, change.after.string_value) for change in found.changes]
        return found.base_version, found.target_version, words

    assert await compared(1, 2) == (1, 2, [("one", "two")])
    assert await compared(2, 1) == (2, 1, [("two", "one")])
    assert await compared(0, 0) == (2, 0, [("two", "three")])
    assert await compared(2, 2) == (2, 2, [])
    error = await catalog.refusal(
        catalog.stub.CompareWorkflowVersions(
            pb.CompareWorkflowVersionsRequest(workflow_id="orders", target_version=9)
        )
    )
    assert error.reason == "VERSION_NOT_FOUND"


async def test_a_draft_that_was_never_published_can_be_deleted(catalog: Any) -> None:
    etag = (await create(catalog)).etag
    stale = pb.DeleteWorkflowRequest(workflow_id="orders", etag="99")
    assert (await catalog.refusal(catalog.stub.DeleteWorkflow(stale))).reason == "ETAG_STALE"
    await catalog.stub.DeleteWorkflow(pb.DeleteWorkflowRequest(workflow_id="orders", etag=etag))
    error = await catalog.refusal(catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders")))
    assert error.reason == "WORKFLOW_NOT_FOUND"
    await create(catalog)


@pytest.mark.parametrize("method", ["", "Deactivate"])
async def test_what_was_published_is_not_deleted(catalog: Any, method: str) -> None:
    await create(catalog)
    await publish(catalog)
    if method:
        await catalog.stub.DeactivateWorkflow(pb.DeactivateWorkflowRequest(workflow_id="orders"))
    before = await stored(catalog)
    error = await catalog.refusal(catalog.stub.DeleteWorkflow(pb.DeleteWorkflowRequest(workflow_id="orders")))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_STATUS_CONFLICT")
    assert "ArchiveWorkflow" in error.message
    assert await stored(catalog) == before


async def test_editors_who_work_at_the_same_time_lose_no_change(catalog: Any) -> None:
    """Twelve of them, each adding a label of its own to whatever is there."""
    await create(catalog)
    refused = 0

    async def add_label(name: str) -> None:
        nonlocal refused
        while True:
            read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))
            read.definition.labels[name] = "1"
            request = pb.UpdateWorkflowRequest(
                workflow_id="orders", definition=read.definition, etag=read.etag
            )
            try:
                await catalog.stub.UpdateWorkflow(request)
                return
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.ABORTED  # noqa: PT017 - the loop goes on after it
                refused += 1

    names = [f"editor-{number}" for number in range(12)]
    await asyncio.gather(*map(add_label, names))
    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))
    assert sorted(read.definition.labels) == sorted(names)
    assert refused > 0


async def test_an_update_must_say_which_draft_it_has_read(catalog: Any) -> None:
    await create(catalog)
    request = pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition())
    error = await catalog.refusal(catalog.stub.UpdateWorkflow(request))
    assert (error.reason, [violation.field for violation in error.violations]) == ("FIELD_INVALID", ["etag"])
    assert "or `*` to overwrite" in error.message


async def test_lists_find_by_label_owner_and_prefix_together(catalog: Any) -> None:
    await create(catalog, "orders", owner="shop", labels={"tier": "1", "team": "a"})
    await create(catalog, "orders-eu", owner="shop", labels={"tier": "2", "team": "a"})
    await create(catalog, "mails", owner="post", labels={"tier": "1"})

    async def listed(**filters: Any) -> list[str]:
        page = await catalog.stub.ListWorkflows(pb.ListWorkflowsRequest(**filters))
        return [workflow.workflow_id for workflow in page.workflows]

    assert await listed(labels={"tier": "1"}) == ["mails", "orders"]
    assert await listed(labels={"tier": "1", "team": "a"}) == ["orders"]
    assert await listed(labels={"tier": "3"}) == []
    assert await listed(owner="shop") == ["orders", "orders-eu"]
    assert await listed(owner="sho") == []
    assert await listed(owner="shop", labels={"tier": "2"}, workflow_id_prefix="ord") == ["orders-eu"]
    first = await catalog.stub.ListWorkflows(pb.ListWorkflowsRequest(owner="shop", page_size=1))
    assert await listed(owner="shop", page_token=first.next_page_token) == ["orders-eu"]
    error = await catalog.refusal(
        catalog.stub.ListWorkflows(pb.ListWorkflowsRequest(owner="post", page_token=first.next_page_token))
    )
    assert error.reason == "PAGE_TOKEN_INVALID"


async def test_an_archived_workflow_cannot_be_changed_even_by_hand(catalog: Any) -> None:
    await create(catalog)
    await catalog.stub.ArchiveWorkflow(pb.ArchiveWorkflowRequest(workflow_id="orders"))
    async with catalog.database.writer() as connection:
        for statement in ("UPDATE workflows SET status = 'ACTIVE'", "DELETE FROM workflows"):
            with pytest.raises(Exception, match="an archived workflow never changes"):
                await connection.execute(statement)
