"""What the tests do to a workflow."""

from typing import Any

from google.protobuf import json_format
from workflowsystem.catalog.v1 import report_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}}
SOUND = {"input_schema": SCHEMA, "tasks": [{"id": "charge", "type": "orders.charge"}]}


def definition(**fields: Any) -> WorkflowDefinition:
    return json_format.ParseDict({**SOUND, **fields}, WorkflowDefinition())


async def create(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    request = pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=definition(**fields))
    return await catalog.stub.CreateWorkflow(request)


async def publish(catalog: Any, workflow_id: str = "orders", **fields: Any) -> workflow_pb2.Workflow:
    return await catalog.stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id=workflow_id, **fields))


async def update(catalog: Any, **fields: Any) -> workflow_pb2.Workflow:
    request = pb.UpdateWorkflowRequest(workflow_id="orders", definition=definition(**fields), etag="*")
    return await catalog.stub.UpdateWorkflow(request)


async def validate(catalog: Any, **fields: Any) -> report_pb2.ValidationReport:
    return await catalog.stub.ValidateWorkflow(pb.ValidateWorkflowRequest(workflow_id="orders", **fields))
