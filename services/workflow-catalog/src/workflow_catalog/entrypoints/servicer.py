"""`workflow.catalog.v1.WorkflowCatalogService`: requests in, messages out.

Requests arrive checked against the rules of their contract; errors leave as exceptions (error_map.py).
"""

from __future__ import annotations

from typing import Any

from service_kit import paging
from workflow.catalog.v1 import workflow_catalog_service_pb2 as service_pb2
from workflow.catalog.v1 import workflow_catalog_service_pb2_grpc as service_pb2_grpc
from workflow.catalog.v1 import workflow_pb2

from workflow_catalog.application.ports import VersionQuery, WorkflowFilter
from workflow_catalog.application.versions import StartQuery, Versions
from workflow_catalog.application.workflows import Changed, Workflows
from workflow_catalog.domain.workflow import Method
from workflow_catalog.entrypoints.definition_codec import mask_paths, to_json
from workflow_catalog.entrypoints.translate import (
    DEFAULT_NAMESPACE,
    Translator,
    consistency_of,
    key_of,
    status_of,
)


class WorkflowCatalogServicer(service_pb2_grpc.WorkflowCatalogServiceServicer):
    """The service; its methods are documented in the contract."""

    def __init__(self, workflows: Workflows, versions: Versions) -> None:
        self._workflows = workflows
        self._versions = versions
        self._translator = Translator()

    async def CreateWorkflow(
        self, request: service_pb2.CreateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        definition = to_json(request.definition)
        return self._changed(await self._workflows.create(key, definition, request.request_id))

    async def GetWorkflow(
        self, request: service_pb2.GetWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        consistency = consistency_of(request.read_consistency)
        key = key_of(request.namespace, request.workflow_id)
        return self._translator.workflow(await self._workflows.get(key, consistency))

    async def ListWorkflows(
        self, request: service_pb2.ListWorkflowsRequest, context: Any
    ) -> service_pb2.ListWorkflowsResponse:
        """See the contract."""
        namespace = request.namespace or DEFAULT_NAMESPACE
        statuses = sorted(set(request.statuses))
        filters = paging.filter_hash("ListWorkflows", namespace, statuses, request.workflow_id_prefix)
        after = paging.decode(request.page_token, filter_hash=filters)
        found, more = await self._workflows.list(
            WorkflowFilter(
                namespace=namespace,
                statuses=frozenset(map(status_of, statuses)),
                workflow_id_prefix=request.workflow_id_prefix,
                after_workflow_id=str(after[0]) if after else "",
            ),
            paging.page_size(request.page_size),
            consistency_of(request.read_consistency),
        )
        token = paging.encode([found[-1].key.workflow_id], filter_hash=filters) if more else ""
        return service_pb2.ListWorkflowsResponse(
            workflows=map(self._translator.summary, found), next_page_token=token
        )

    async def UpdateWorkflow(
        self, request: service_pb2.UpdateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        paths = mask_paths(request.update_mask)
        definition = to_json(request.definition)
        return self._changed(await self._workflows.update(key, definition, paths, request.etag))

    async def PublishWorkflow(
        self, request: service_pb2.PublishWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        return self._changed(await self._workflows.publish(key, request.etag))

    async def DeactivateWorkflow(
        self, request: service_pb2.DeactivateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        return self._changed(await self._workflows.change_status(key, Method.DEACTIVATE))

    async def ActivateWorkflow(
        self, request: service_pb2.ActivateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        return self._changed(await self._workflows.change_status(key, Method.ACTIVATE))

    async def ArchiveWorkflow(
        self, request: service_pb2.ArchiveWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        """See the contract."""
        key = key_of(request.namespace, request.workflow_id)
        return self._changed(await self._workflows.change_status(key, Method.ARCHIVE))

    async def GetWorkflowVersion(
        self, request: service_pb2.GetWorkflowVersionRequest, context: Any
    ) -> workflow_pb2.WorkflowVersion:
        """See the contract."""
        query = VersionQuery(key_of(request.namespace, request.workflow_id), request.version)
        consistency = consistency_of(request.read_consistency)
        return self._translator.version(await self._versions.get(query, consistency))

    async def BatchGetWorkflowVersions(
        self, request: service_pb2.BatchGetWorkflowVersionsRequest, context: Any
    ) -> service_pb2.BatchGetWorkflowVersionsResponse:
        """See the contract."""
        questions = [
            StartQuery(
                VersionQuery(key_of(query.namespace, query.workflow_id), query.version), query.known_version
            )
            for query in request.queries
        ]
        answers = dict(zip(questions, await self._versions.resolve(questions), strict=True))
        messages = {
            question: self._translator.answer(question, answer) for question, answer in answers.items()
        }
        return service_pb2.BatchGetWorkflowVersionsResponse(answers=map(messages.__getitem__, questions))

    def _changed(self, changed: Changed) -> workflow_pb2.Workflow:
        return self._translator.workflow(changed.workflow, changed.consistency_token)
