"""A catalog as the command line sees it: drafts and versions in memory, and just enough of a validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from google.protobuf import empty_pb2, json_format, struct_pb2
from service_kit.errors import FieldViolation, failed_precondition, invalid_argument, not_found
from workflowsystem.catalog.v1 import report_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as catalog_grpc

DRAFT, ACTIVE = workflow_pb2.WORKFLOW_STATUS_DRAFT, workflow_pb2.WORKFLOW_STATUS_ACTIVE


class FakeCatalog(catalog_grpc.WorkflowCatalogServiceServicer):
    """A task of type `bad` is an error, one of type `odd` a warning; a changed schema is MAJOR."""

    def __init__(self) -> None:
        self.workflows: dict[str, workflow_pb2.Workflow] = {}
        self.versions: dict[str, list[workflow_pb2.WorkflowVersion]] = {}
        self.requests: list[Any] = []

    async def CreateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = workflow_pb2.Workflow(
            namespace=request.namespace,
            workflow_id=request.workflow_id,
            status=DRAFT,
            definition=request.definition,
            etag="e1",
            draft_changed=True,
        )
        self.workflows[request.workflow_id] = workflow
        self.versions[request.workflow_id] = []
        return workflow

    async def GetWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._existing(request.workflow_id)

    async def ListWorkflows(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return catalog_pb2.ListWorkflowsResponse(workflows=self.workflows.values())

    async def UpdateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = self._existing(request.workflow_id)
        assert request.etag == workflow.etag
        workflow.definition.CopyFrom(request.definition)
        workflow.etag += "+"
        workflow.draft_changed = True
        return workflow

    async def ValidateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        given = request.definition if request.HasField("definition") else None
        return self._report(request.workflow_id, given)

    async def PublishWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = self._existing(request.workflow_id)
        answer = workflow_pb2.Workflow()
        report = self._report(request.workflow_id, None)
        if not request.dry_run:
            errors = [p for p in report.problems if p.severity == report_pb2.PROBLEM_SEVERITY_ERROR]
            violations = [FieldViolation(problem.field, problem.description) for problem in errors]
            if violations:
                raise invalid_argument("DEFINITION_INVALID", "the definition has a problem", *violations)
            if not workflow.active_version or report.difference.changes:
                self._freeze(workflow)
        answer.CopyFrom(workflow)
        answer.report.CopyFrom(report)
        return answer

    async def DeactivateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(request.workflow_id, workflow_pb2.WORKFLOW_STATUS_INACTIVE)

    async def ActivateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(request.workflow_id, ACTIVE)

    async def ArchiveWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(request.workflow_id, workflow_pb2.WORKFLOW_STATUS_ARCHIVED)

    async def DeleteWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = self._existing(request.workflow_id)
        assert request.etag == workflow.etag
        if workflow.status != DRAFT:
            raise failed_precondition(
                "WORKFLOW_STATUS_CONFLICT", "the workflow was published; call ArchiveWorkflow"
            )
        del self.workflows[request.workflow_id]
        return empty_pb2.Empty()

    async def ListWorkflowVersions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self._existing(request.workflow_id)
        newest_first = list(reversed(self.versions[request.workflow_id]))
        bare = [workflow_pb2.WorkflowVersion() for _ in newest_first]
        for version, stored in zip(bare, newest_first, strict=True):
            version.CopyFrom(stored)
            version.ClearField("definition")
        return catalog_pb2.ListWorkflowVersionsResponse(versions=bare)

    async def GetWorkflowVersion(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._version(request.workflow_id, request.version)

    async def CompareWorkflowVersions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = self._existing(request.workflow_id)
        base = self._version(request.workflow_id, request.base_version)
        target = workflow.definition
        if request.target_version:
            target = self._version(request.workflow_id, request.target_version).definition
        return difference(base.version, base.definition, request.target_version, target)

    def _report(self, workflow_id: str, given: Any) -> report_pb2.ValidationReport:
        definition = given if given is not None else self._existing(workflow_id).definition
        problems = list(_problems(definition))
        valid = all(problem.severity != report_pb2.PROBLEM_SEVERITY_ERROR for problem in problems)
        report = report_pb2.ValidationReport(problems=problems, valid=valid, content_hash=_hash(definition))
        report.difference.change_class = report_pb2.CHANGE_CLASS_NONE
        if self.versions.get(workflow_id):
            active = self.versions[workflow_id][-1]
            report.difference.CopyFrom(difference(active.version, active.definition, 0, definition))
        return report

    def _freeze(self, workflow: workflow_pb2.Workflow) -> None:
        versions = self.versions[workflow.workflow_id]
        version = workflow_pb2.WorkflowVersion(
            workflow_id=workflow.workflow_id,
            version=len(versions) + 1,
            definition=workflow.definition,
            content_hash=_hash(workflow.definition),
        )
        version.publish_time.GetCurrentTime()
        versions.append(version)
        workflow.status = ACTIVE
        workflow.active_version = version.version
        workflow.draft_changed = False

    def _moved(self, workflow_id: str, status: workflow_pb2.WorkflowStatus) -> workflow_pb2.Workflow:
        workflow = self._existing(workflow_id)
        workflow.status = status
        return workflow

    def _existing(self, workflow_id: str) -> workflow_pb2.Workflow:
        if workflow_id not in self.workflows:
            raise not_found(
                "WORKFLOW_NOT_FOUND", f"there is no workflow {workflow_id}; ListWorkflows shows them"
            )
        return self.workflows[workflow_id]

    def _version(self, workflow_id: str, number: int) -> workflow_pb2.WorkflowVersion:
        number = number or self._existing(workflow_id).active_version
        versions = self.versions[workflow_id]
        if not 1 <= number <= len(versions):
            raise not_found("VERSION_NOT_FOUND", f"{workflow_id} has no version {number}")
        return versions[number - 1]


def _problems(definition: Any) -> Iterator[report_pb2.Problem]:
    for index, task in enumerate(definition.tasks):
        field = f"tasks[{index}].type"
        if task.type == "bad":
            text = "no worker ever offered `bad`; did you mean `band`?"
            yield report_pb2.Problem(
                field=field,
                description=text,
                severity=report_pb2.PROBLEM_SEVERITY_ERROR,
                suggestion="band",
            )
        if task.type == "odd":
            yield report_pb2.Problem(
                field=field, description="it is odd", severity=report_pb2.PROBLEM_SEVERITY_WARNING
            )
        if not task.type:
            yield report_pb2.Problem(
                field=field, description="is required", severity=report_pb2.PROBLEM_SEVERITY_ERROR
            )


def difference(
    base_version: int, before: Any, target_version: int, after: Any
) -> report_pb2.WorkflowDifference:
    """By description (PATCH), tasks (MINOR) and input schema (MAJOR)."""
    found = report_pb2.WorkflowDifference(base_version=base_version, target_version=target_version)
    found.change_class = report_pb2.CHANGE_CLASS_NONE
    for path, change_class in (("description", 2), ("tasks", 3), ("input_schema", 4)):
        old, new = (json_format.MessageToDict(each).get(_camel(path)) for each in (before, after))
        if old != new:
            change = found.changes.add(path=path, kind=3, change_class=change_class)
            change.kind = 1 if old is None else 2 if new is None else 3
            for side, value in (("before", old), ("after", new)):
                if value is not None:
                    getattr(change, side).CopyFrom(json_format.ParseDict(value, struct_pb2.Value()))
            change.reason = "inputs without `amount`" if path == "input_schema" else ""
            found.change_class = max(found.change_class, change_class)
    return found


def _camel(path: str) -> str:
    return "inputSchema" if path == "input_schema" else path


def _hash(definition: Any) -> str:
    return hashlib.sha256(definition.SerializeToString(deterministic=True)).hexdigest()
