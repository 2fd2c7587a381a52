"""Workflows to put into a store."""

from datetime import UTC, datetime, timedelta

from workflow_catalog.application.ports import WorkflowStore
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import Method, Workflow, WorkflowKey, change_status
from workflow_catalog.domain.workflow import create as create_workflow
from workflow_catalog.domain.workflow import publish as publish_workflow

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
DEFINITION = Definition.from_json({"tasks": [{"id": "a", "type": "noop"}], "description": 'ünï \\u0000 "x"'})
OTHER = Definition.from_json({"tasks": [{"id": "b", "type": "noop"}]})
ORDERS = WorkflowKey("default", "orders")


async def add(store: WorkflowStore, key: WorkflowKey = ORDERS, status: str = "DRAFT") -> Workflow:
    """A workflow in the store: a Draft, or published once and then moved on."""
    workflow = create_workflow(key, DEFINITION, NOW)
    async with store.transaction() as transaction:
        assert await transaction.add(workflow)
        if status != "DRAFT":
            workflow, version = publish_workflow(workflow, NOW + timedelta(seconds=1))
            assert version is not None
            await transaction.add_version(version)
            if status == "INACTIVE":
                workflow = change_status(workflow, Method.DEACTIVATE, NOW + timedelta(seconds=2))
            await transaction.save(workflow)
    return workflow
