"""A catalog in memory: the workflows that a test publishes, served as the real one serves them."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import ParseDict
from service_kit.errors import not_found, to_status
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as pb_grpc
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition
from workflowsystem.catalog.v1.workflow_pb2 import WorkflowStatus

Answer = pb.BatchGetWorkflowVersionsResponse.Answer


@dataclass
class PublishedWorkflow:
    status: str = "ACTIVE"
    versions: list[WorkflowDefinition] = field(default_factory=list)


class FakeCatalog(pb_grpc.WorkflowCatalogServiceServicer):
    """Knows nothing but what a test has published."""

    def __init__(self) -> None:
        self.workflows: dict[tuple[str, str], PublishedWorkflow] = {}
        self.questions = 0

    def publish(
        self, *tasks: dict[str, Any], workflow_id: str = "flow", namespace: str = "default", **fields: Any
    ) -> int:
        """A further version with these tasks; returns its number."""
        workflow = self.workflows.setdefault((namespace, workflow_id), PublishedWorkflow())
        workflow.versions.append(ParseDict({"tasks": list(tasks), **fields}, WorkflowDefinition()))
        return len(workflow.versions)

    def set_status(self, status: str, workflow_id: str = "flow") -> None:
        self.workflows.setdefault(("default", workflow_id), PublishedWorkflow()).status = status

    async def BatchGetWorkflowVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.questions += 1
        return pb.BatchGetWorkflowVersionsResponse(answers=map(self._answer, request.queries))

    def _answer(self, query: Any) -> Answer:
        workflow = self.workflows.get((query.namespace, query.workflow_id))
        if workflow is None:
            message = f"no workflow `{query.workflow_id}`; create it with CreateWorkflow"
            return Answer(error=to_status(not_found("WORKFLOW_NOT_FOUND", message)))
        answer = Answer(workflow_status=WorkflowStatus.Value(f"WORKFLOW_STATUS_{workflow.status}"))
        version = query.version or len(workflow.versions)
        if not 0 < version <= len(workflow.versions):
            message = f"workflow `{query.workflow_id}` has no version {version}; list them"
            answer.error.CopyFrom(to_status(not_found("VERSION_NOT_FOUND", message)))
            return answer
        answer.version.version = version
        if version != query.known_version:
            answer.version.definition.CopyFrom(workflow.versions[version - 1])
        return answer
