"""What the service refuses: each with a code, a reason, the field and a next step; and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.internal import encoder
from workflowsystem.catalog.v1 import definition_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb

from tests.integration.catalog.stored import stored

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def task(task_id: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "type": "shop.do", "needs": list(needs), **fields}


def definition(*tasks: dict[str, Any], **fields: Any) -> definition_pb2.WorkflowDefinition:
    return json_format.ParseDict({"tasks": list(tasks), **fields}, definition_pb2.WorkflowDefinition())


async def create(
    catalog: Any, message: definition_pb2.WorkflowDefinition, workflow_id: str = "orders"
) -> Any:
    return await catalog.stub.CreateWorkflow(
        pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=message)
    )


@pytest.mark.parametrize(
    ("tasks", "fields", "field", "words"),
    [
        ((), {}, "tasks", "a workflow has 1 to 500"),
        ((task("a", "b"), task("b", "a")), {}, "tasks[1].needs", "closes a cycle"),
        ((task("fetch"), task("b", "fetsh")), {}, "tasks[1].needs[0]", "did you mean `fetch`?"),
        ((task("a", when="${input.n >}"),), {}, "tasks[0].when", "ends too early"),
        (
            (task("a", input={"x": "${tasks.b.output}"}), task("b")),
            {},
            "tasks[0].input.x",
            "add it to `needs`",
        ),
        ((task("a"),), {"output": "${tasks.z.output}"}, "output", "there is no task `z`"),
        (
            (task("a"),),
            {"input_schema": {"$ref": "http://x.example/y"}},
            "input_schema.$ref",
            "another document",
        ),
        ((task("a", timeouts={"start_to_close": "600s"}),), {}, "tasks[0].timeouts.heartbeat", "is required"),
    ],
)
async def test_a_publish_of_a_bad_draft_names_the_field_and_writes_nothing(
    catalog: Any, tasks: Any, fields: Any, field: str, words: str
) -> None:
    await create(catalog, definition(*tasks, **fields))
    before = await stored(catalog)
    error = await catalog.refusal(
        catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    )
    assert (error.code, error.reason) == (INVALID, "DEFINITION_INVALID")
    violations = {violation.field: violation.description for violation in error.violations}

    cyclic = {name for name in violations if name.endswith(".needs")}

    assert words in violations.get(field, "") or (cyclic and words in violations[cyclic.pop()])
    assert field in error.message or "cycle" in error.message
    assert await stored(catalog) == before


async def test_all_problems_come_back_at_once(catalog: Any) -> None:
    await create(catalog, definition(task("a", "x", when="${1}"), task("a"), output="${nope}"))

    error = await catalog.refusal(
        catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    )

    assert [violation.field for violation in error.violations] == [
        "output",
        "tasks[0].needs[0]",
        "tasks[0].when",
        "tasks[1].id",
    ]
    assert "(and 3 more)" in error.message


def _too_large() -> definition_pb2.WorkflowDefinition:
    return definition(task("a", input="x" * (1024 * 1024)))


def _nul() -> definition_pb2.WorkflowDefinition:
    return definition(task("a", input={"text": "a\0b"}))


def _infinite() -> definition_pb2.WorkflowDefinition:
    message = definition(task("a"))
    message.output.number_value = float("inf")
    return message


def _nested(levels: int) -> definition_pb2.WorkflowDefinition:
    """So many levels of objects in all, those of the definition included."""
    schema: Any = {}
    for _ in range(levels - 2):
        schema = {"x": schema}
    return definition(task("a"), input_schema=schema)


def _deep() -> definition_pb2.WorkflowDefinition:
    return _nested(33)


def _bad_id() -> definition_pb2.WorkflowDefinition:
    return definition(task("Not-An-Id"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_too_large, "PAYLOAD_TOO_LARGE"),
        (_nul, "PAYLOAD_INVALID"),
        (_infinite, "PAYLOAD_INVALID"),
        (_deep, "PAYLOAD_INVALID"),
        (_bad_id, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    catalog: Any, make: Callable[[], definition_pb2.WorkflowDefinition], reason: str
) -> None:
    error = await catalog.refusal(create(catalog, make()))

    assert (error.code, error.reason) == (INVALID, reason)
    assert await stored(catalog) == []


async def test_the_deepest_definition_can_be_read_by_every_method(catalog: Any) -> None:
    """Protobuf reads 100 levels of messages, and answers wrap a definition in more of them."""
    await create(catalog, _nested(32))
    await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    request = pb.BatchGetWorkflowVersionsRequest(queries=[{"workflow_id": "orders"}])
    response = await catalog.stub.BatchGetWorkflowVersions(request)

    assert response.answers[0].version.definition == _nested(32)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes or of a message, as it stands on the wire."""
    return bytes([number << 3 | 2]) + encoder._VarintBytes(len(content)) + content


async def test_a_request_deeper_than_protobuf_reads_is_refused(catalog: Any) -> None:
    value = b""
    for _ in range(60):
        value = _field(6, _field(1, value))  # a Value with a list of one Value
    request = _field(2, b"orders") + _field(3, _field(5, value))
    call = catalog.channel.unary_unary("/workflowsystem.catalog.v1.WorkflowCatalogService/CreateWorkflow")
    error = await catalog.refusal(call(request))

    assert (error.code, error.reason) == (INVALID, "PAYLOAD_INVALID")
    assert "nested too deeply" in error.message


async def test_a_definition_over_the_limit_is_told_both_sizes(catalog: Any) -> None:
    error = await catalog.refusal(create(catalog, _too_large()))

    assert error.metadata["limit_bytes"] == "1048576"
    assert int(error.metadata["size_bytes"]) > 1048576


@pytest.mark.parametrize("workflow_id", ["", "A", "my flow", "x", "orders_1", "a" * 64])
async def test_an_id_that_is_none_is_refused(catalog: Any, workflow_id: str) -> None:
    error = await catalog.refusal(create(catalog, definition(task("a")), workflow_id))

    assert (error.code, error.reason) == (INVALID, "FIELD_INVALID")
    assert error.violations[0].field == "workflow_id"


async def test_bytes_that_are_no_message_are_refused(catalog: Any) -> None:
    call = catalog.channel.unary_unary("/workflowsystem.catalog.v1.WorkflowCatalogService/CreateWorkflow")
    error = await catalog.refusal(call(b"\xff\xff\xff"))

    assert error.code == INVALID


async def test_a_taken_id_is_refused(catalog: Any) -> None:
    await create(catalog, definition(task("a")))
    before = await stored(catalog)
    error = await catalog.refusal(create(catalog, definition(task("b"))))

    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WORKFLOW_ALREADY_EXISTS")
    assert error.metadata == {"workflow_id": "orders"}
    assert await stored(catalog) == before


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("GetWorkflow", pb.GetWorkflowRequest),
        ("PublishWorkflow", pb.PublishWorkflowRequest),
        ("DeactivateWorkflow", pb.DeactivateWorkflowRequest),
        ("ActivateWorkflow", pb.ActivateWorkflowRequest),
        ("ArchiveWorkflow", pb.ArchiveWorkflowRequest),
        ("GetWorkflowVersion", pb.GetWorkflowVersionRequest),
    ],
)
async def test_an_unknown_workflow_is_not_found(catalog: Any, method: str, request_type: Any) -> None:
    error = await catalog.refusal(getattr(catalog.stub, method)(request_type(workflow_id="nowhere")))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    assert "ListWorkflows" in error.message


async def test_an_unknown_version_is_not_found(catalog: Any) -> None:
    await create(catalog, definition(task("a")))
    for version in (0, 1):
        request = pb.GetWorkflowVersionRequest(workflow_id="orders", version=version)
        error = await catalog.refusal(catalog.stub.GetWorkflowVersion(request))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND")


async def test_a_stale_etag_is_aborted(catalog: Any) -> None:
    workflow = await create(catalog, definition(task("a")))
    request = pb.UpdateWorkflowRequest(
        workflow_id="orders", definition=definition(task("b")), etag=workflow.etag
    )
    await catalog.stub.UpdateWorkflow(request)
    before = await stored(catalog)
    request.definition.owner = "late"
    publish = pb.PublishWorkflowRequest(workflow_id="orders", etag=workflow.etag)

    for call in (catalog.stub.UpdateWorkflow(request), catalog.stub.PublishWorkflow(publish)):
        error = await catalog.refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "ETAG_STALE")

    assert await stored(catalog) == before


async def test_an_archived_workflow_is_read_only(catalog: Any) -> None:
    await create(catalog, definition(task("a")))
    await catalog.stub.ArchiveWorkflow(pb.ArchiveWorkflowRequest(workflow_id="orders"))
    before = await stored(catalog)

    for call, method in (
        (
            catalog.stub.UpdateWorkflow(
                pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition(task("b")), etag="*")
            ),
            "UpdateWorkflow",
        ),
        (catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders")), "PublishWorkflow"),
        (catalog.stub.ActivateWorkflow(pb.ActivateWorkflowRequest(workflow_id="orders")), "ActivateWorkflow"),
        (catalog.stub.DeleteWorkflow(pb.DeleteWorkflowRequest(workflow_id="orders")), "DeleteWorkflow"),
    ):
        error = await catalog.refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_STATUS_CONFLICT")
        assert error.metadata == {"workflow_id": "orders", "status": "ARCHIVED", "method": method}

    assert await stored(catalog) == before


async def test_a_version_cannot_be_changed_even_by_hand(catalog: Any) -> None:
    await create(catalog, definition(task("a")))
    await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
    async with catalog.database.writer() as connection:
        with pytest.raises(Exception, match="a published version never changes"):
            await connection.execute("UPDATE workflow_versions SET definition = '{}'")


async def test_a_value_without_a_kind_is_null(catalog: Any) -> None:
    """It can come over the wire, though no JSON can say it."""
    message = definition(task("a"))
    message.output.CopyFrom(struct_pb2.Value())
    workflow = await create(catalog, message)

    assert workflow.definition.output.WhichOneof("kind") == "null_value"
