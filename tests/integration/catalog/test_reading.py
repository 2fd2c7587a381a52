"""Versions, differences, deletes, editors and lists, over the wire."""

import asyncio
from typing import Any

import grpc
import pytest
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb

from tests.integration.catalog.editing import create, definition, publish, update
from tests.integration.catalog.stored import stored


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


async def test_a_list_of_workflows_with_long_descriptions_has_pages_that_grpc_lets_through(
    catalog: Any,
) -> None:
    """300 descriptions of 4,096 characters, 4 bytes each, have 4.9 MB together."""
    count = 300
    for number in range(count):
        await create(catalog, workflow_id=f"flow-{number:03}", description="\U0001f600" * 4_096)
    seen, token, pages = [], "", 0

    while not pages or token:
        request = pb.ListWorkflowsRequest(page_size=1_000, page_token=token)
        page = await catalog.stub.ListWorkflows(request)
        seen += [workflow.workflow_id for workflow in page.workflows]
        token, pages = page.next_page_token, pages + 1

    assert pages > 1
    assert seen == [f"flow-{number:03}" for number in range(count)]
