"""A definition into the catalog: as the draft, and from there as the active version."""

from __future__ import annotations

from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_pb2 import Workflow

from workflow_sdk.client import Client
from workflow_sdk.errors import AlreadyExistsError, NotFoundError, StaleError

ATTEMPTS = 5
"""How often a draft that others change is read, written and published before their changes win."""


async def publish(client: Client, workflow_id: str, definition: WorkflowDefinition) -> Workflow:
    """The workflow with this definition as its draft and its active version.

    Between its two writes somebody else may change the draft; then both are done again, on what is there by
    then. Raises WorkflowError; StaleError after ATTEMPTS times.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await _publish_once(client, workflow_id, definition)
        except (StaleError, AlreadyExistsError):
            continue
    return await _publish_once(client, workflow_id, definition)


async def _publish_once(client: Client, workflow_id: str, definition: WorkflowDefinition) -> Workflow:
    try:
        found = await client.get_workflow(workflow_id, strong=True)
    except NotFoundError:
        saved = await client.create_workflow(workflow_id, definition)
    else:
        if found.definition == definition:
            saved = found
        else:
            saved = await client.update_workflow(workflow_id, definition, etag=found.etag)
    return await client.publish_workflow(workflow_id, etag=saved.etag)
