"""How a definition becomes a draft of the catalog, and then the active version."""

from __future__ import annotations

from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from workflow_sdk.client import Client
from workflow_sdk.errors import AlreadyExistsError, NotFoundError, StaleError
from workflow_sdk.workflows import WorkflowInfo

ATTEMPTS = 5
"""How often `publish` tries while others change the draft. After that their changes win."""


async def publish(client: Client, workflow_id: str, definition: WorkflowDefinition) -> WorkflowInfo:
    """Make the definition the workflow's draft and its active version; return the workflow.

    If somebody else changes the draft between the two writes, read it again and repeat both. Raises
    WorkflowError; raises StaleError if that happened ATTEMPTS times.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await _publish_once(client, workflow_id, definition)
        except (StaleError, AlreadyExistsError):
            continue
    return await _publish_once(client, workflow_id, definition)


async def _publish_once(client: Client, workflow_id: str, definition: WorkflowDefinition) -> WorkflowInfo:
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
