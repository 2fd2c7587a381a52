"""The half of the client that speaks to the catalog: definitions, their versions, their lifecycle."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from workflowsystem.catalog.v1 import definition_pb2, workflow_catalog_service_pb2_grpc
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as messages
from workflowsystem.catalog.v1.report_pb2 import ValidationReport, WorkflowDifference
from workflowsystem.catalog.v1.workflow_pb2 import Workflow, WorkflowStatus, WorkflowVersion

from workflow_sdk.calls import Caller
from workflow_sdk.errors import InvalidRequestError

Definition = definition_pb2.WorkflowDefinition | Mapping[str, Any]
"""A definition as the contract's message, or as its JSON form (what a YAML file has)."""


class CatalogCalls:
    """Methods of the catalog; each returns the contract's message. Mixed into `Client`."""

    namespace: str
    _catalog_caller: Caller
    _catalog: workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub

    async def create_workflow(
        self, workflow_id: str, definition: Definition, *, request_id: str | None = None
    ) -> Workflow:
        """Save a new workflow as a Draft.

        Raises AlreadyExistsError, InvalidRequestError. A repeat with the same `request_id` (made up if None)
        returns the first answer.
        """
        request = messages.CreateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=to_definition(definition),
            request_id=request_id or uuid.uuid4().hex,
        )
        return await self._catalog_caller.call(self._catalog.CreateWorkflow, request)

    async def get_workflow(self, workflow_id: str, *, strong: bool = False) -> Workflow:
        """The workflow with its draft. Raises NotFoundError."""
        request = messages.GetWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            read_consistency=self._catalog_caller.consistency(strong),
        )
        return await self._catalog_caller.call(self._catalog.GetWorkflow, request)

    async def list_workflows(
        self,
        *,
        statuses: Sequence[WorkflowStatus] = (),
        workflow_id_prefix: str = "",
        labels: Mapping[str, str] | None = None,
        owner: str = "",
        page_size: int = 100,
    ) -> AsyncIterator[Workflow]:
        """Workflows by id, page by page; every filter that is given must fit.

        `statuses`: one of them. `labels`: the draft has all of these, at most 16. `owner`: exactly this one.
        Of their drafts they have only `description`, `labels` and `owner`.
        """
        request = messages.ListWorkflowsRequest(
            namespace=self.namespace,
            page_size=page_size,
            statuses=statuses,
            workflow_id_prefix=workflow_id_prefix,
            labels=labels or {},
            owner=owner,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        while True:
            page = await self._catalog_caller.call(self._catalog.ListWorkflows, request)
            for workflow in page.workflows:
                yield workflow
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
    ) -> Workflow:
        """Replace the draft, or the fields that `update_mask` names, if it still is the one with this `etag`.

        Raises NotFoundError, PreconditionError (archived), StaleError: get it again, merge, update again. The
        etag `*` overwrites whatever is there; any other is sent once, as a repeat would find the etag changed
        by itself.
        """
        request = messages.UpdateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=to_definition(definition),
            update_mask=FieldMask(paths=update_mask) if update_mask else None,
            etag=etag,
        )
        return await self._catalog_caller.call(self._catalog.UpdateWorkflow, request, repeatable=etag == "*")

    async def validate_workflow(
        self, workflow_id: str, definition: Definition | None = None
    ) -> ValidationReport:
        """Every problem of a definition, and what differs from the active version; None means the draft.

        Problems are in the report, not raised; nothing is written. May be repeated. Raises NotFoundError (no
        definition was given, and there is no draft), InvalidRequestError (it is not of the contract's form).
        """
        request = messages.ValidateWorkflowRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            definition=None if definition is None else to_definition(definition),
        )
        return await self._catalog_caller.call(self._catalog.ValidateWorkflow, request)

    async def publish_workflow(self, workflow_id: str, *, etag: str = "", dry_run: bool = False) -> Workflow:
        """Check the draft and make it the active version; `report` of the answer has what differs.

        A draft that is the active version already stays it: the report's class is then CHANGE_CLASS_NONE.
        With `dry_run` nothing is written, and problems are in the report instead of an error. May be
        repeated; with an `etag` it is sent once. Raises NotFoundError, InvalidRequestError (every problem of
        the definition), PreconditionError (Inactive or Archived), StaleError.
        """
        request = messages.PublishWorkflowRequest(
            namespace=self.namespace, workflow_id=workflow_id, etag=etag, dry_run=dry_run
        )
        return await self._catalog_caller.call(
            self._catalog.PublishWorkflow, request, repeatable=dry_run or not etag
        )

    async def deactivate_workflow(self, workflow_id: str) -> Workflow:
        """Let nothing start any more; running executions go on. May be repeated."""
        request = messages.DeactivateWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._catalog_caller.call(self._catalog.DeactivateWorkflow, request)

    async def activate_workflow(self, workflow_id: str) -> Workflow:
        """Inactive to Active. May be repeated."""
        request = messages.ActivateWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._catalog_caller.call(self._catalog.ActivateWorkflow, request)

    async def archive_workflow(self, workflow_id: str) -> Workflow:
        """Read-only for good. May be repeated."""
        request = messages.ArchiveWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id)
        return await self._catalog_caller.call(self._catalog.ArchiveWorkflow, request)

    async def delete_workflow(self, workflow_id: str, *, etag: str = "") -> None:
        """Remove a draft that was never published, for good.

        It is sent once, as a repeat would find nothing. Raises NotFoundError, StaleError, PreconditionError
        (it was published, or is archived: its versions are what executions ran on).
        """
        request = messages.DeleteWorkflowRequest(namespace=self.namespace, workflow_id=workflow_id, etag=etag)
        await self._catalog_caller.call(self._catalog.DeleteWorkflow, request, repeatable=False)

    async def get_workflow_version(self, workflow_id: str, version: int = 0) -> WorkflowVersion:
        """A published version; 0 is the active one. Raises NotFoundError."""
        request = messages.GetWorkflowVersionRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            version=version,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        return await self._catalog_caller.call(self._catalog.GetWorkflowVersion, request)

    async def list_workflow_versions(
        self, workflow_id: str, *, page_size: int = 100
    ) -> AsyncIterator[WorkflowVersion]:
        """The versions without their definitions, the newest first, page by page. Raises NotFoundError."""
        request = messages.ListWorkflowVersionsRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            page_size=page_size,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        while True:
            page = await self._catalog_caller.call(self._catalog.ListWorkflowVersions, request)
            for version in page.versions:
                yield version
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def compare_workflow_versions(
        self, workflow_id: str, base_version: int = 0, target_version: int = 0
    ) -> WorkflowDifference:
        """What differs between two versions: base 0 is the active one, target 0 the draft.

        May be repeated. Raises NotFoundError (no such workflow or version, or none is active).
        """
        request = messages.CompareWorkflowVersionsRequest(
            namespace=self.namespace,
            workflow_id=workflow_id,
            base_version=base_version,
            target_version=target_version,
            read_consistency=self._catalog_caller.consistency(strong=False),
        )
        return await self._catalog_caller.call(self._catalog.CompareWorkflowVersions, request)


def to_definition(definition: Definition) -> definition_pb2.WorkflowDefinition:
    """The contract's message of a definition's JSON form. Raises InvalidRequestError naming what is wrong."""
    if isinstance(definition, definition_pb2.WorkflowDefinition):
        return definition
    try:
        return json_format.ParseDict(dict(definition), definition_pb2.WorkflowDefinition())
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"the definition can't be read: {error}") from None
