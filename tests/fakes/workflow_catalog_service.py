"""A catalog in memory, behind the contract WorkflowCatalogService, with just enough of a validation."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from google.protobuf import empty_pb2, json_format, struct_pb2
from service_kit.errors import (
    FieldViolation,
    ServiceError,
    failed_precondition,
    invalid_argument,
    not_found,
    to_status,
)
from workflowsystem.catalog.v1 import definition_pb2, report_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as catalog_grpc

STATUSES = workflow_pb2.WorkflowStatus
DRAFT, ACTIVE = workflow_pb2.WORKFLOW_STATUS_DRAFT, workflow_pb2.WORKFLOW_STATUS_ACTIVE
CLASSES = (("description", 2), ("tasks", 3), ("input_schema", 4))
"""What a changed field of a definition means: PATCH, MINOR, MAJOR."""

Answer = catalog_pb2.BatchGetWorkflowVersionsResponse.Answer


class FakeCatalog(catalog_grpc.WorkflowCatalogServiceServicer):
    """Drafts and versions by workflow id; a workflow of another namespace by `namespace/id`.

    A task of type `bad` is an error, one of type `odd` is a warning, and a changed schema is MAJOR. A test
    can make answers wait for `gate`, refuse every question for versions with `refusal`, and leave the
    definitions out of the answers with `forgets_definitions`. `requests` has those of each method.
    """

    def __init__(self) -> None:
        self.workflows: dict[str, workflow_pb2.Workflow] = {}
        self.versions: dict[str, list[workflow_pb2.WorkflowVersion]] = {}
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: ServiceError | None = None
        self.forgets_definitions = False

    # -- what a test prepares -------------------------------------------------------------------

    def publish(
        self, *tasks: dict[str, Any], workflow_id: str = "flow", namespace: str = "default", **fields: Any
    ) -> int:
        """Publish a further version with these tasks, and return its number."""
        definition = definition_pb2.WorkflowDefinition()
        json_format.ParseDict({"tasks": list(tasks), **fields}, definition)
        key = _key(namespace, workflow_id)
        workflow = self.workflows.get(key) or self._create(key, namespace, workflow_id)
        workflow.definition.CopyFrom(definition)
        self._freeze(key)
        return len(self.versions[key])

    def set_status(self, status: str, workflow_id: str = "flow") -> None:
        """Set the status of a workflow, which need not exist yet."""
        workflow = self.workflows.get(workflow_id) or self._create(workflow_id, "default", workflow_id)
        workflow.status = STATUSES.Value(f"WORKFLOW_STATUS_{status}")

    # -- the contract ---------------------------------------------------------------------------

    async def CreateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("CreateWorkflow", request)
        workflow = self._create(key, request.namespace, request.workflow_id)
        workflow.definition.CopyFrom(request.definition)
        return workflow

    async def GetWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._existing(self._called("GetWorkflow", request))

    async def ListWorkflows(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests["ListWorkflows"].append(request)
        return catalog_pb2.ListWorkflowsResponse(workflows=self.workflows.values())

    async def UpdateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        workflow = self._existing(self._called("UpdateWorkflow", request))
        assert request.etag == workflow.etag
        workflow.definition.CopyFrom(request.definition)
        workflow.etag += "+"
        workflow.draft_changed = True
        return workflow

    async def ValidateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("ValidateWorkflow", request)
        return self._report(key, request.definition if request.HasField("definition") else None)

    async def PublishWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("PublishWorkflow", request)
        workflow = self._existing(key)
        report = self._report(key, None)
        if not request.dry_run:
            _refuse_errors(report)
            if not workflow.active_version or report.difference.changes:
                self._freeze(key)
        answer = workflow_pb2.Workflow()
        answer.CopyFrom(workflow)
        answer.report.CopyFrom(report)
        return answer

    async def DeactivateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(self._called("DeactivateWorkflow", request), "INACTIVE")

    async def ActivateWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(self._called("ActivateWorkflow", request), "ACTIVE")

    async def ArchiveWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._moved(self._called("ArchiveWorkflow", request), "ARCHIVED")

    async def DeleteWorkflow(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("DeleteWorkflow", request)
        workflow = self._existing(key)
        assert request.etag == workflow.etag
        if workflow.status != DRAFT:
            message = "the workflow was published; call ArchiveWorkflow"
            raise failed_precondition("WORKFLOW_STATUS_CONFLICT", message)
        del self.workflows[key]
        return empty_pb2.Empty()

    async def ListWorkflowVersions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("ListWorkflowVersions", request)
        self._existing(key)
        newest_first = list(reversed(self.versions[key]))
        bare = [workflow_pb2.WorkflowVersion() for _ in newest_first]
        for version, stored in zip(bare, newest_first, strict=True):
            version.CopyFrom(stored)
            version.ClearField("definition")
        return catalog_pb2.ListWorkflowVersionsResponse(versions=bare)

    async def GetWorkflowVersion(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return self._version(self._called("GetWorkflowVersion", request), request.version)

    async def CompareWorkflowVersions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        key = self._called("CompareWorkflowVersions", request)
        base = self._version(key, request.base_version)
        target = self._existing(key).definition
        if request.target_version:
            target = self._version(key, request.target_version).definition
        return difference(base.version, base.definition, request.target_version, target)

    async def BatchGetWorkflowVersions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.requests["BatchGetWorkflowVersions"].append(request)
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return catalog_pb2.BatchGetWorkflowVersionsResponse(answers=map(self._answer, request.queries))

    # -- what is stored -------------------------------------------------------------------------

    def _called(self, method: str, request: Any) -> str:
        """Note a request, and return the key of its workflow."""
        self.requests[method].append(request)
        return _key(request.namespace, request.workflow_id)

    def _create(self, key: str, namespace: str, workflow_id: str) -> workflow_pb2.Workflow:
        workflow = workflow_pb2.Workflow(
            namespace=namespace, workflow_id=workflow_id, status=DRAFT, etag="e1", draft_changed=True
        )
        self.workflows[key], self.versions[key] = workflow, []
        return workflow

    def _answer(self, query: Any) -> Answer:
        key = _key(query.namespace, query.workflow_id)
        workflow = self.workflows.get(key)
        if workflow is None:
            message = f"no workflow `{query.workflow_id}`; create it with CreateWorkflow"
            return Answer(error=to_status(not_found("WORKFLOW_NOT_FOUND", message)))
        answer = Answer(workflow_status=workflow.status)
        version = query.version or workflow.active_version
        if not 0 < version <= len(self.versions[key]):
            message = f"workflow `{query.workflow_id}` has no version {version}; list them"
            answer.error.CopyFrom(to_status(not_found("VERSION_NOT_FOUND", message)))
            return answer
        answer.version.version = version
        if version != query.known_version and not self.forgets_definitions:
            answer.version.definition.CopyFrom(self.versions[key][version - 1].definition)
        return answer

    def _report(self, key: str, given: Any) -> report_pb2.ValidationReport:
        definition = given if given is not None else self._existing(key).definition
        problems = list(_problems(definition))
        valid = all(problem.severity != report_pb2.PROBLEM_SEVERITY_ERROR for problem in problems)
        report = report_pb2.ValidationReport(problems=problems, valid=valid, content_hash=_hash(definition))
        report.difference.change_class = report_pb2.CHANGE_CLASS_NONE
        if self.versions.get(key):
            active = self.versions[key][-1]
            report.difference.CopyFrom(difference(active.version, active.definition, 0, definition))
        return report

    def _freeze(self, key: str) -> None:
        workflow, versions = self.workflows[key], self.versions[key]
        version = workflow_pb2.WorkflowVersion(
            workflow_id=workflow.workflow_id,
            version=len(versions) + 1,
            definition=workflow.definition,
            content_hash=_hash(workflow.definition),
        )
        version.publish_time.GetCurrentTime()
        versions.append(version)
        if workflow.status == DRAFT:
            workflow.status = ACTIVE
        workflow.active_version = version.version
        workflow.draft_changed = False

    def _moved(self, key: str, status: str) -> workflow_pb2.Workflow:
        workflow = self._existing(key)
        workflow.status = STATUSES.Value(f"WORKFLOW_STATUS_{status}")
        return workflow

    def _existing(self, key: str) -> workflow_pb2.Workflow:
        if key not in self.workflows:
            raise not_found("WORKFLOW_NOT_FOUND", f"there is no workflow {key}; ListWorkflows shows them")
        return self.workflows[key]

    def _version(self, key: str, number: int) -> workflow_pb2.WorkflowVersion:
        number = number or self._existing(key).active_version
        versions = self.versions[key]
        if not 1 <= number <= len(versions):
            raise not_found("VERSION_NOT_FOUND", f"{key} has no version {number}")
        return versions[number - 1]


def _key(namespace: str, workflow_id: str) -> str:
    return workflow_id if namespace in ("", "default") else f"{namespace}/{workflow_id}"


def _refuse_errors(report: report_pb2.ValidationReport) -> None:
    errors = [each for each in report.problems if each.severity == report_pb2.PROBLEM_SEVERITY_ERROR]
    violations = [FieldViolation(problem.field, problem.description) for problem in errors]
    if violations:
        raise invalid_argument("DEFINITION_INVALID", "the definition has a problem", *violations)


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
    """Compare by description (PATCH), tasks (MINOR) and input schema (MAJOR)."""
    found = report_pb2.WorkflowDifference(base_version=base_version, target_version=target_version)
    found.change_class = report_pb2.CHANGE_CLASS_NONE
    for path, change_class in CLASSES:
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
