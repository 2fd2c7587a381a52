"""The port WorkflowStore: what is found, listed, removed and forgotten; in memory and on PostgreSQL."""

from datetime import timedelta
from typing import Any

from service_kit.data.consistency import STRONG
from workflow_catalog.application.ports import WorkflowFilter, WorkflowStore
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import WorkflowKey
from workflow_catalog.domain.workflow import create as create_workflow
from workflow_catalog.domain.workflow import publish as publish_workflow
from workflow_catalog.domain.workflow import update as update_workflow

from tests.contract.catalog.workflows import NOW, ORDERS, add


async def add_drafts(store: WorkflowStore) -> None:
    drafts = {
        "orders": {"owner": "shop", "labels": {"tier": "1", "team": "a"}, "description": "Sells"},
        "orders-eu": {"owner": "shop", "labels": {"tier": "2"}},
        "mails": {"labels": {"tier": "1"}},
    }
    async with store.transaction() as transaction:
        for workflow_id, fields in drafts.items():
            draft = Definition.from_json({**fields, "tasks": []})
            await transaction.add(create_workflow(WorkflowKey("default", workflow_id), draft, NOW))


async def test_a_list_can_be_narrowed_by_owner_and_labels(store: WorkflowStore) -> None:
    await add_drafts(store)

    async def ids(**filters: Any) -> list[str]:
        found = await store.list(WorkflowFilter("default", **filters), 10, STRONG)
        return [summary.key.workflow_id for summary in found]

    assert await ids(owner="shop") == ["orders", "orders-eu"]
    assert await ids(owner="Shop") == []
    assert await ids(labels={"tier": "1"}) == ["mails", "orders"]
    assert await ids(labels={"tier": "1", "team": "a"}) == ["orders"]
    assert await ids(labels={"tier": "1"}, owner="shop", workflow_id_prefix="o") == ["orders"]
    assert await ids(labels={"tier": 'x"\\'}) == []


async def test_a_summary_has_what_lists_show_of_the_draft(store: WorkflowStore) -> None:
    await add_drafts(store)
    mails, orders, _ = await store.list(WorkflowFilter("default"), 10, STRONG)

    assert (orders.description, orders.owner, orders.labels) == ("Sells", "shop", {"tier": "1", "team": "a"})
    assert (mails.description, mails.owner, mails.labels) == ("", "", {"tier": "1"})


async def test_what_lists_show_follows_the_draft(store: WorkflowStore) -> None:
    await add_drafts(store)
    async with store.transaction() as transaction:
        workflow = await transaction.find(ORDERS)
        assert workflow is not None
        await transaction.save(
            update_workflow(workflow, Definition.from_json({"owner": "new", "tasks": []}), NOW)
        )

    (found,) = await store.list(WorkflowFilter("default", owner="new"), 10, STRONG)

    assert (found.key, found.labels) == (ORDERS, {})


async def test_versions_are_listed_from_the_newest_down(store: WorkflowStore) -> None:
    workflow = await add(store, status="ACTIVE")
    for number in range(2, 5):
        draft = Definition.from_json({"description": str(number), "tasks": []})
        async with store.transaction() as transaction:
            workflow, version = publish_workflow(update_workflow(workflow, draft, NOW), NOW)
            assert version is not None
            await transaction.add_version(version)
            await transaction.save(workflow)

    found = await store.list_versions(ORDERS, 100, 2, STRONG)

    assert [version.version for version in found] == [4, 3]
    assert all(version.definition is None and len(version.content_hash) == 64 for version in found)
    assert [version.version for version in await store.list_versions(ORDERS, 3, 9, STRONG)] == [2, 1]
    assert list(await store.list_versions(WorkflowKey("other", "orders"), 100, 9, STRONG)) == []


async def test_a_removed_workflow_is_gone_and_its_id_is_free(store: WorkflowStore) -> None:
    await add(store)
    async with store.transaction() as transaction:
        assert await transaction.find(ORDERS) is not None
        await transaction.remove(ORDERS)
    assert await store.get(ORDERS, STRONG) is None
    await add(store)


async def test_old_request_ids_are_forgotten_the_oldest_first(store: WorkflowStore) -> None:
    """The first one that is claimed here is the newest."""

    async def claim(number: int) -> bool:
        async with store.transaction() as transaction:
            time = NOW + timedelta(minutes=4 - number)
            return await transaction.claim_request("default", f"r-{number}", "hash", time) is None

    limit = NOW + timedelta(minutes=4)
    assert [await claim(number) for number in range(5)] == [True] * 5
    assert await store.forget_requests(limit, 3) == 3
    assert not await claim(1)
    assert await store.forget_requests(limit, 3) == 1
    assert await store.forget_requests(limit, 3) == 0
    assert [await claim(number) for number in range(5)] == [False, True, True, True, True]
