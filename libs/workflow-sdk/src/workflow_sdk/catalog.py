"""The half of the client that calls the catalog: definitions, their versions, their lifecycle."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from workflowsystem.catalog.v1 import definition_pb2, workflow_catalog_service_pb2_grpc
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as messages

from workflow_sdk.calls import Caller
from workflow_sdk.errors import InvalidRequestError
from workflow_sdk.reports import ValidationReport, WorkflowDifference
from workflow_sdk.statuses import WorkflowStatus
from workflow_sdk.workflows import WorkflowInfo, WorkflowVersion

Definition = definition_pb2.WorkflowDefinition | Mapping[str, Any]
"""A definition as the contract's message, or in its JSON form (the content of a YAML file)."""


class CatalogCalls:
    """The methods that call the catalog. Mixed into `Client`."""

    namespace: str
    _catalog_caller: Caller
    _catalog: workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub

    async def create_workflow(
        self, workflow_id: str, definition: Definition, *, request_id: str | None = None
    ) -> WorkflowInfo:
        """Save a new workflow as a Draft.

        A repeat with the same `request_id` (None: a new random one) returns the first answer. Raises
        AlreadyExistsError, InvalidRequestError.
        """
        request = messages.CreateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=to_definition(definition),
            request_id=request_id or uuid.uuid4().hex,
        )
        return await self._workflow_of(self._catalog.CreateWorkflow, request)

    async def get_workflow(self, workflow_id: str, *, strong: bool = False) -> WorkflowInfo:
        """Return the workflow with its draft. `strong` reads from the primary. Raises NotFoundError."""
        request = messages.GetWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            read_consistency=self._catalog_caller.consistency(strong),
        )
        return await self._workflow_of(self._catalog.GetWorkflow, request)

    async def list_workflows(
        self,
        *,
        statuses: Sequence[WorkflowStatus] = (),
        workflow_id_prefix: str = "",
        labels: Mapping[str, str] | None = None,
        owner: str = "",
        page_size: int = 100,
    ) -> AsyncIterator[WorkflowInfo]:
        """Iterate over workflows by id, page by page; a workflow must match every filter that is given.

        `statuses`: it has one of them. `labels`: its draft has all of them, at most 16. `owner`: its draft
        has exactly this owner. The drafts in the result have only `description`, `labels` and `owner`.
        """
        request = messages.ListWorkflowsRequest(
            namespace=self.namespace,
            page_size=page_size,
            statuses=[WorkflowStatus(status).number for status in statuses],
            workflow_id_prefix=workflow_id_prefix,
            labels=labels or {},
            owner=owner,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        while True:
            page = await self._catalog_caller.call(self._catalog.ListWorkflows, request)
            for workflow in page.workflows:
                yield WorkflowInfo.from_message(workflow)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def update_workflow(
        self,
        workflow_id: str,
        definition: Definition,
        *,
        etag: str,
        update_mask: Sequence[str] = (),
    ) -> WorkflowInfo:
        """Replace the draft, or only the fields in `update_mask`, if the draft still has this `etag`.

        Raises NotFoundError, PreconditionError (archived), StaleError: get it again, merge, update again. The
        etag `*` overwrites the draft, whatever its etag is. A call with another etag is sent once: its own
        change would make a repeat fail.
        """
        request = messages.UpdateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=to_definition(definition),
            update_mask=FieldMask(paths=update_mask) if update_mask else None,
            etag=etag,
        )
        return await self._workflow_of(self._catalog.UpdateWorkflow, request, repeatable=etag == "*")

    async def validate_workflow(
        self, workflow_id: str, definition: Definition | None = None
    ) -> ValidationReport:
        """Return the problems of a definition and its differences from the active version.

        Without a definition, check the draft. Problems are in the report; they are not raised. The call
        writes nothing, and may be repeated. Raises NotFoundError if no definition is given and there is no
        draft. Raises InvalidRequestError if the definition does not have the contract's form.
        """
        request = messages.ValidateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=None if definition is None else to_definition(definition),
        )
        answer = await self._catalog_caller.call(self._catalog.ValidateWorkflow, request)
        return ValidationReport.from_message(answer)

    async def publish_workflow(
        self, workflow_id: str, *, etag: str = "", dry_run: bool = False
    ) -> WorkflowInfo:
        """Check the draft and make it the active version; the answer's `report` has the differences.

        If the draft equals the active version, nothing changes, and the difference's class is NONE. `dry_run`
        writes nothing, and the report has the problems instead of an error. May be repeated; with an `etag`
        it is sent once. Raises NotFoundError, InvalidRequestError (with every problem of the definition),
        PreconditionError (Inactive or Archived), StaleError.
        """
        request = messages.PublishWorkflowRequest(
            namespace=self.namespace, workflow_id=workflow_id, etag=etag, dry_run=dry_run
        )
        return await self._workflow_of(self._catalog.PublishWorkflow, request, repeatable=dry_run or not etag)

    async def deactivate_workflow(self, workflow_id: str) -> WorkflowInfo:
        """Stop new executions of the workflow; running executions continue. May be repeated."""
        request = messages.DeactivateWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._workflow_of(self._catalog.DeactivateWorkflow, request)

    async def activate_workflow(self, workflow_id: str) -> WorkflowInfo:
        """Make an Inactive workflow Active: executions can start again. May be repeated."""
        request = messages.ActivateWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._workflow_of(self._catalog.ActivateWorkflow, request)

    async def archive_workflow(self, workflow_id: str) -> WorkflowInfo:
        """Make the workflow read-only permanently. May be repeated."""
        request = messages.ArchiveWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._workflow_of(self._catalog.ArchiveWorkflow, request)

    async def delete_workflow(self, workflow_id: str, *, etag: str = "") -> None:
        """Delete a draft that was never published, permanently.

        The call is sent once: a repeat would find nothing. Raises NotFoundError, StaleError. Raises
        PreconditionError if the workflow was published (executions ran on its versions) or is archived.
        """
        request = messages.DeleteWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id, etag=etag)
        await self._catalog_caller.call(self._catalog.DeleteWorkflow, request, repeatable=False)

    async def get_workflow_version(self, workflow_id: str, version: int = 0) -> WorkflowVersion:
        """Return a published version; 0 is the active one. Raises NotFoundError."""
        request = messages.GetWorkflowVersionRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            version=version,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        answer = await self._catalog_caller.call(self._catalog.GetWorkflowVersion, request)
        return WorkflowVersion.from_message(answer)

    async def list_workflow_versions(
        self, workflow_id: str, *, page_size: int = 100
    ) -> AsyncIterator[WorkflowVersion]:
        """Iterate over the versions, without their definitions, newest first. Raises NotFoundError."""
        request = messages.ListWorkflowVersionsRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            page_size=page_size,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        while True:
            page = await self._catalog_caller.call(self._catalog.ListWorkflowVersions, request)
            for version in page.versions:
                yield WorkflowVersion.from_message(version)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def compare_workflow_versions(
        self, workflow_id: str, base_version: int = 0, target_version: int = 0
    ) -> WorkflowDifference:
        """Return the differences between two versions: base 0 is the active version, target 0 the draft.

        May be repeated. Raises NotFoundError if there is no such workflow or version, or no active version.
        """
        request = messages.CompareWorkflowVersionsRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            base_version=base_version,
            target_version=target_version,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        answer = await self._catalog_caller.call(self._catalog.CompareWorkflowVersions, request)
        return WorkflowDifference.from_message(answer)

    async def _workflow_of(self, method: Any, request: Any, *, repeatable: bool = True) -> WorkflowInfo:
        answer = await self._catalog_caller.call(method, request, repeatable=repeatable)
        return WorkflowInfo.from_message(answer)


def to_definition(definition: Definition) -> definition_pb2.WorkflowDefinition:
    """Return a definition as the contract's message. Raises InvalidRequestError if it can't be one."""
    if isinstance(definition, definition_pb2.WorkflowDefinition):
        return definition
    try:
        return json_format.ParseDict(dict(definition), definition_pb2.WorkflowDefinition())
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"the definition can't be read: {error}") from None
