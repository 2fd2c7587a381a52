"""Validation, dry runs, differences, versions: what a publish would find and change, over the wire."""

import asyncio
import time
from typing import Any

import grpc
from google.protobuf import json_format
from workflowsystem.catalog.v1 import report_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb

from tests.integration.catalog.editing import SCHEMA, create, definition, publish, update, validate
from tests.integration.catalog.stored import stored


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


async def test_questions_of_the_start_path_are_answered_while_a_large_definition_is_checked(
    catalog: Any,
) -> None:
    await create(catalog)
    await publish(catalog)
    tasks = [
        {
            "id": f"t{number}",
            "type": "shop.do",
            "input": [f"${{input.x + {number * 10 + i}}}" for i in range(10)],
        }
        for number in range(500)
    ]
    large = definition(
        tasks=tasks, input_schema={"required": ["x"], "properties": {"x": {"type": "integer"}}}
    )
    check = asyncio.ensure_future(validate(catalog, definition=large))
    query = pb.BatchGetWorkflowVersionsRequest.Query(workflow_id="orders", known_version=1)
    begun, longest, answered = time.perf_counter(), 0.0, 0

    while not check.done():
        asked = time.perf_counter()
        await catalog.stub.BatchGetWorkflowVersions(pb.BatchGetWorkflowVersionsRequest(queries=[query]))
        longest = max(longest, time.perf_counter() - asked)
        answered += 1

    assert (await check).valid
    assert answered > 3
    assert longest < (time.perf_counter() - begun) / 2
