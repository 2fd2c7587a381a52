"""The port WorkflowStore: one suite, run on the store in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from service_kit.data.consistency import EVENTUAL, STRONG, at_least
from workflow_catalog.application.ports import VersionQuery, WorkflowFilter, WorkflowStore
from workflow_catalog.domain.workflow import Method, WorkflowKey, WorkflowStatus, change_status
from workflow_catalog.domain.workflow import create as create_workflow
from workflow_catalog.domain.workflow import publish as publish_workflow
from workflow_catalog.domain.workflow import update as update_workflow

from tests.contract.catalog.workflows import DEFINITION, NOW, ORDERS, OTHER, add


async def test_what_was_added_is_read_back_unchanged(store: WorkflowStore) -> None:
    workflow = await add(store)

    assert await store.get(ORDERS, STRONG) == workflow
    assert await store.get(WorkflowKey("other", "orders"), STRONG) is None
    assert await store.get(WorkflowKey("default", "order"), STRONG) is None


async def test_an_id_can_be_added_once_in_a_namespace(store: WorkflowStore) -> None:
    await add(store)
    async with store.transaction() as transaction:
        assert not await transaction.add(create_workflow(ORDERS, OTHER, NOW))
        assert await transaction.add(create_workflow(WorkflowKey("other", "orders"), OTHER, NOW))
    stored = await store.get(ORDERS, STRONG)

    assert stored is not None
    assert stored.draft == DEFINITION


async def test_a_saved_revision_replaces_the_one_before(store: WorkflowStore) -> None:
    await add(store)
    async with store.transaction() as transaction:
        workflow = await transaction.find(ORDERS)
        assert workflow is not None
        archived = change_status(workflow, Method.ARCHIVE, NOW + timedelta(days=1))
        await transaction.save(archived)

    assert await store.get(ORDERS, STRONG) == archived


async def test_an_error_within_a_transaction_leaves_nothing_behind(store: WorkflowStore) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        async with store.transaction() as transaction:
            await transaction.add(create_workflow(ORDERS, DEFINITION, NOW))
            await transaction.claim_request("default", "r-1", "hash", NOW)
            raise RuntimeError("stop")
    assert await store.get(ORDERS, STRONG) is None
    async with store.transaction() as transaction:
        assert await transaction.claim_request("default", "r-1", "hash", NOW) is None


async def test_a_committed_transaction_has_a_token_that_a_read_accepts(store: WorkflowStore) -> None:
    async with store.transaction() as transaction:
        await transaction.add(create_workflow(ORDERS, DEFINITION, NOW))
    assert await store.get(ORDERS, at_least(transaction.consistency_token)) is not None


async def test_a_found_workflow_is_locked_until_the_transaction_ends(store: WorkflowStore) -> None:
    """Two transactions that read, count up and save lose no update."""
    await add(store)

    async def count_up() -> None:
        async with store.transaction() as transaction:
            workflow = await transaction.find(ORDERS)
            assert workflow is not None
            await asyncio.sleep(0)
            await transaction.save(workflow.changed(NOW, workflow.status))

    await asyncio.gather(*(count_up() for _ in range(8)))
    stored = await store.get(ORDERS, STRONG)
    assert stored is not None
    assert stored.revision == 9


async def test_of_two_transactions_with_one_request_id_the_second_sees_the_first(
    store: WorkflowStore,
) -> None:
    first_has_claimed, may_commit = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with store.transaction() as transaction:
            assert await transaction.claim_request("default", "r-1", "hash", NOW) is None
            first_has_claimed.set()
            await may_commit.wait()

    async def second() -> str:
        await first_has_claimed.wait()
        async with store.transaction() as transaction:
            record = await transaction.claim_request("default", "r-1", "other hash", NOW)
            assert record is not None
            assert record.create_time == NOW
            return record.request_hash

    running = asyncio.create_task(first())
    waiting = asyncio.create_task(second())
    await first_has_claimed.wait()
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    may_commit.set()
    assert await waiting == "hash"
    await running


async def test_request_ids_of_another_namespace_are_others(store: WorkflowStore) -> None:
    async with store.transaction() as transaction:
        assert await transaction.claim_request("default", "r-1", "hash", NOW) is None
        assert await transaction.claim_request("other", "r-1", "hash", NOW) is None
        assert await transaction.claim_request("default", "r-1", "hash", NOW) is not None


async def test_a_list_is_of_one_namespace_in_the_order_of_ids(store: WorkflowStore) -> None:
    ids = ["b-1", "a10", "a-z", "a1", "abc"]
    for workflow_id in ids:
        await add(store, WorkflowKey("default", workflow_id))
    await add(store, WorkflowKey("other", "aaa"))
    found = await store.list(WorkflowFilter("default"), 10, STRONG)
    assert [summary.key.workflow_id for summary in found] == sorted(ids)
    found = await store.list(WorkflowFilter("default", after_workflow_id="a1"), 2, STRONG)

    assert [summary.key.workflow_id for summary in found] == ["a10", "abc"]


async def test_a_list_can_be_narrowed_by_status_and_prefix(store: WorkflowStore) -> None:
    await add(store, WorkflowKey("default", "pay-draft"))
    await add(store, WorkflowKey("default", "pay-active"), "ACTIVE")
    await add(store, WorkflowKey("default", "pay-inactive"), "INACTIVE")
    await add(store, WorkflowKey("default", "payment"), "ACTIVE")

    async def ids(*statuses: WorkflowStatus, prefix: str = "") -> list[str]:
        where = WorkflowFilter("default", frozenset(statuses), prefix)
        return [summary.key.workflow_id for summary in await store.list(where, 10, EVENTUAL)]

    assert await ids(WorkflowStatus.ACTIVE) == ["pay-active", "payment"]
    assert await ids(prefix="pay-") == ["pay-active", "pay-draft", "pay-inactive"]
    assert await ids(WorkflowStatus.ACTIVE, WorkflowStatus.INACTIVE, prefix="pay-") == [
        "pay-active",
        "pay-inactive",
    ]
    assert await ids(WorkflowStatus.ARCHIVED) == []


async def test_a_summary_says_what_the_workflow_says(store: WorkflowStore) -> None:
    workflow = await add(store, status="ACTIVE")
    (summary,) = await store.list(WorkflowFilter("default"), 10, STRONG)
    for field in ("key", "status", "etag", "active_version", "draft_changed", "create_time", "update_time"):
        assert getattr(summary, field) == getattr(workflow, field)

    assert not summary.draft_changed


async def test_versions_are_resolved_together_each_for_itself(store: WorkflowStore) -> None:
    await add(store, status="INACTIVE")
    await add(store, WorkflowKey("default", "draft-only"))
    questions = [
        VersionQuery(ORDERS),
        VersionQuery(WorkflowKey("default", "draft-only")),
        VersionQuery(ORDERS, 1),
        VersionQuery(ORDERS, 7),
        VersionQuery(WorkflowKey("default", "nowhere")),
        VersionQuery(WorkflowKey("other", "orders"), 1),
    ]

    active, draft, first, missing, nowhere, other = await store.resolve(questions, STRONG)

    assert active == first
    assert active.status == "INACTIVE"
    assert active.version is not None
    assert (active.version.version, active.version.content_hash) == (1, DEFINITION.content_hash)
    assert active.version.publish_time == NOW + timedelta(seconds=1)
    assert active.version.definition is None
    assert (draft.status, draft.active_version, draft.version) == ("DRAFT", 0, None)
    assert (missing.status, missing.active_version, missing.version) == ("INACTIVE", 1, None)
    assert nowhere.status is None
    assert other.status is None


async def test_the_active_version_is_the_last_one_published(store: WorkflowStore) -> None:
    workflow = await add(store, status="ACTIVE")
    async with store.transaction() as transaction:
        workflow, version = publish_workflow(update_workflow(workflow, OTHER, NOW), NOW)
        assert version is not None
        await transaction.add_version(version)
        await transaction.save(workflow)
    active, first = await store.resolve([VersionQuery(ORDERS), VersionQuery(ORDERS, 1)], STRONG)
    assert active.version is not None
    assert first.version is not None
    assert (active.version.version, first.version.version) == (2, 1)

    found = await store.definitions([VersionQuery(ORDERS, 1), VersionQuery(ORDERS, 2)], STRONG)

    assert {definition.text for definition in found} == {DEFINITION.text, OTHER.text}


async def test_no_questions_have_no_answers(store: WorkflowStore) -> None:
    assert list(await store.resolve([], STRONG)) == []
    assert list(await store.definitions([], STRONG)) == []
