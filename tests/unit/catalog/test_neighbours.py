"""What a check must know of other workflows."""

from typing import Any

from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.neighbours import find_neighbours
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.workflow import Method, WorkflowKey

ORDERS = WorkflowKey("default", "orders")


def parent_of(*children: str) -> dict[str, Any]:
    tasks = [
        {"id": f"c{number}", "type": "workflow", "workflow": {"workflow_id": child}}
        for number, child in enumerate(children)
    ]
    return {"tasks": tasks or [{"id": "a", "type": "noop"}]}


async def publish(workflows: Workflows, workflow_id: str, *children: str) -> None:
    key = WorkflowKey("default", workflow_id)
    await workflows.create(key, parent_of(*children))
    await workflows.publish(key, "")


async def test_children_are_found_level_by_level(workflows: Workflows, store: MemoryWorkflowStore) -> None:
    for workflow_id, children in (("third", []), ("second", ["third"]), ("first", ["second", "third"])):
        await publish(workflows, workflow_id, *children)

    around = await find_neighbours(store, ORDERS, parent_of("first"))

    assert around.workflow_id == "orders"
    assert {name: known.children for name, known in around.known.items()} == {
        "first": {"second", "third"},
        "second": {"third"},
        "third": frozenset(),
    }
    assert list(around.similar) == []


async def test_the_status_and_last_version_of_child_workflows_are_found(
    workflows: Workflows, store: MemoryWorkflowStore
) -> None:
    await publish(workflows, "first")
    await workflows.change_status(WorkflowKey("default", "first"), Method.DEACTIVATE)
    await workflows.create(WorkflowKey("default", "second"), parent_of())
    around = await find_neighbours(store, ORDERS, parent_of("first", "second"))
    found = {name: (known.status, known.last_version) for name, known in around.known.items()}

    assert found == {"first": ("INACTIVE", 1), "second": ("DRAFT", 0)}


async def test_ids_to_suggest_are_asked_for_only_where_one_is_missing(
    workflows: Workflows, store: MemoryWorkflowStore
) -> None:
    await publish(workflows, "refunds")
    around = await find_neighbours(store, ORDERS, parent_of("refund"))
    assert (dict(around.known), list(around.similar)) == ({}, ["refunds"])
    before = store.statements
    await find_neighbours(store, ORDERS, parent_of())

    assert store.statements == before


async def test_another_namespace_is_another_place(workflows: Workflows, store: MemoryWorkflowStore) -> None:
    await publish(workflows, "refunds")
    around = await find_neighbours(store, WorkflowKey("other", "orders"), parent_of("refunds"))

    assert (dict(around.known), list(around.similar)) == ({}, [])
