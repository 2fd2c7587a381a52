"""Definitions have a limit as messages too, and every answer fits into the 4 MiB that gRPC reads."""

from __future__ import annotations

from typing import Any

import grpc
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb

from tests.integration.catalog.test_refusals import create, definition, task

MESSAGE_BYTES = 4 * 1024 * 1024
MOST_DIGITS = 140_000
"""Nearly 1.5 MiB as a Value, of 280 KB of JSON."""


async def publish(catalog: Any, workflow_id: str, **fields: Any) -> Any:
    await create(catalog, definition(task("a", **fields)), workflow_id)
    return await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=workflow_id))


async def test_a_definition_that_is_too_large_as_a_value_is_refused(catalog: Any) -> None:
    error = await catalog.refusal(create(catalog, definition(task("a", input=[7] * 150_000))))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE")
    assert "bytes as google.protobuf.Value, but at most 1,572,864 are allowed" in error.message
    assert error.metadata["limit_bytes"] == str(1536 * 1024)


async def test_two_halves_that_fit_are_refused_as_one_draft(catalog: Any) -> None:
    created = await create(catalog, definition(task("a", input=[7] * 100_000)))
    request = pb.UpdateWorkflowRequest(
        workflow_id="orders",
        definition=definition(output=[7] * 100_000),
        update_mask={"paths": ["output"]},
        etag=created.etag,
    )
    error = await catalog.refusal(catalog.stub.UpdateWorkflow(request))
    assert error.reason == "PAYLOAD_TOO_LARGE"

    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))

    assert read.etag == created.etag


async def test_the_largest_definition_is_published_and_read(catalog: Any) -> None:
    published = await publish(catalog, "orders", input=[7] * MOST_DIGITS)
    version = await catalog.stub.GetWorkflowVersion(pb.GetWorkflowVersionRequest(workflow_id="orders"))
    for found in (published.definition, version.definition):
        assert len(found.tasks[0].input.list_value.values) == MOST_DIGITS


async def test_many_large_definitions_are_answered_in_parts(catalog: Any) -> None:
    names = [f"flow-{number}" for number in range(6)]
    for name in names:
        await publish(catalog, name, input=[name, *[7] * 100_000])
    wanted, rounds = set(names), 0

    while wanted:
        queries = [{"workflow_id": name} for name in sorted(wanted)]
        response = await catalog.stub.BatchGetWorkflowVersions(
            pb.BatchGetWorkflowVersionsRequest(queries=queries)
        )
        assert response.ByteSize() <= MESSAGE_BYTES
        got = {answer.version.workflow_id for answer in response.answers if not answer.definition_left_out}
        assert all(
            answer.version.HasField("definition") is not answer.definition_left_out
            for answer in response.answers
        )
        assert got
        wanted -= got
        rounds += 1

    assert rounds == 3


async def test_a_question_that_is_repeated_a_thousand_times_is_answered(catalog: Any) -> None:
    await publish(catalog, "orders", input=[7] * 1_000)
    queries = [{"workflow_id": "orders"}] * 1_000
    response = await catalog.stub.BatchGetWorkflowVersions(
        pb.BatchGetWorkflowVersionsRequest(queries=queries)
    )
    assert response.ByteSize() <= MESSAGE_BYTES
    left_out = [answer.definition_left_out for answer in response.answers]

    assert left_out == sorted(left_out)
    assert left_out[0] is False
    assert left_out[-1] is True


async def test_a_comparison_leaves_out_values_that_are_too_large_together(catalog: Any) -> None:
    """A thousand changes, each from one value of 900 bytes to another, have 1.8 MB."""
    await publish(catalog, "orders", input={f"k{n}": "a" * 900 for n in range(1_000)})
    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))
    changed = definition(task("a", input={f"k{n}": "b" * 900 for n in range(1_000)}))
    await catalog.stub.UpdateWorkflow(
        pb.UpdateWorkflowRequest(workflow_id="orders", definition=changed, etag=read.etag)
    )

    compared = await catalog.stub.CompareWorkflowVersions(
        pb.CompareWorkflowVersionsRequest(workflow_id="orders")
    )

    assert compared.ByteSize() <= 1536 * 1024
    assert len(compared.changes) == 1_000
    assert not any(change.HasField("before") or change.HasField("after") for change in compared.changes)


async def test_a_publish_with_long_names_everywhere_is_answered(catalog: Any) -> None:
    """Each of a thousand changes, and each problem, is below a name of 100,000 characters."""
    long = "n" * 100_000
    await publish(catalog, "orders", input={long: {f"k{n}": 1 for n in range(2_000)}})
    changed = definition(task("a", input={long: {f"k{n}": 2 for n in range(2_000)}}), description="x" * 4_000)
    read = await catalog.stub.GetWorkflow(pb.GetWorkflowRequest(workflow_id="orders"))
    await catalog.stub.UpdateWorkflow(
        pb.UpdateWorkflowRequest(workflow_id="orders", definition=changed, etag=read.etag)
    )
    compared = await catalog.stub.CompareWorkflowVersions(
        pb.CompareWorkflowVersionsRequest(workflow_id="orders")
    )
    assert len(compared.changes) == 1_000
    assert len({change.path for change in compared.changes}) == 1_000
    assert max(len(change.path) for change in compared.changes) == 300
    published = await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    assert published.active_version == 2
    assert published.ByteSize() <= MESSAGE_BYTES
    broken = definition(*[task("a", input={long: {f"k{n}": "${" for n in range(200)}})])

    report = await catalog.stub.ValidateWorkflow(
        pb.ValidateWorkflowRequest(workflow_id="orders", definition=broken)
    )

    assert len(report.problems) == 100
    assert report.ByteSize() <= MESSAGE_BYTES
