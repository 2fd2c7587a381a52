"""The gRPC service `workflowsystem.catalog.v1.WorkflowCatalogService`.

The server checks each request against the rules of the contract before it calls a method. Methods raise
exceptions, which error_map.py turns into statuses. Work that takes milliseconds for a large definition runs
in a thread, so that the orchestrator's queries before a start do not wait for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf import empty_pb2
from service_kit.rpc import paging
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.catalog.v1 import report_pb2, workflow_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as service_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as service_pb2_grpc

from workflow_catalog.application.ports import VersionQuery, WorkflowFilter
from workflow_catalog.application.versions import StartQuery, Versions
from workflow_catalog.application.workflows import Changed, Workflows
from workflow_catalog.domain.workflow import Method
from workflow_catalog.entrypoints.definition_codec import mask_paths, to_json
from workflow_catalog.entrypoints.field_rules import broken_rules
from workflow_catalog.entrypoints.report_translate import difference, report
from workflow_catalog.entrypoints.translate import (
    Translator,
    consistency_of,
    key_of,
    status_of,
)

NO_VERSION_YET = 2**31 - 1
VERSION_KEY = paging.number_key(NO_VERSION_YET)
"""A number above the number of every version."""


class WorkflowCatalogServicer(service_pb2_grpc.WorkflowCatalogServiceServicer):
    """The servicer. The contract documents its methods."""

    def __init__(self, workflows: Workflows, versions: Versions) -> None:
        self._workflows = workflows
        self._versions = versions
        self._translator = Translator()

    async def CreateWorkflow(
        self, request: service_pb2.CreateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        definition = await asyncio.to_thread(to_json, request.definition)
        return await self._changed(await self._workflows.create(key, definition, request.request_id))

    async def GetWorkflow(
        self, request: service_pb2.GetWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        consistency = consistency_of(request.read_consistency)
        key = key_of(request.namespace, request.workflow_id)
        return await self._translator.workflow(await self._workflows.get(key, consistency))

    async def ListWorkflows(
        self, request: service_pb2.ListWorkflowsRequest, context: Any
    ) -> service_pb2.ListWorkflowsResponse:
        namespace = request.namespace or DEFAULT_NAMESPACE
        statuses = sorted(set(request.statuses))
        labels = dict(request.labels)
        filters = paging.filter_hash(
            "ListWorkflows",
            namespace,
            statuses,
            request.workflow_id_prefix,
            request.owner,
            sorted(labels.items()),
        )
        after = paging.decode_one(request.page_token, paging.text_key, filter_hash=filters)
        found, more = await self._workflows.list(
            WorkflowFilter(
                namespace=namespace,
                statuses=frozenset(map(status_of, statuses)),
                workflow_id_prefix=request.workflow_id_prefix,
                owner=request.owner,
                labels=labels,
                after_workflow_id=after or "",
            ),
            paging.page_size(request.page_size),
            consistency_of(request.read_consistency),
        )
        workflows = paging.fitting(map(self._translator.summary, found))
        more = more or len(workflows) < len(found)
        token = paging.encode([workflows[-1].workflow_id], filter_hash=filters) if more else ""
        return service_pb2.ListWorkflowsResponse(workflows=workflows, next_page_token=token)

    async def UpdateWorkflow(
        self, request: service_pb2.UpdateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        paths = mask_paths(request.update_mask)
        definition = await asyncio.to_thread(to_json, request.definition)
        return await self._changed(await self._workflows.update(key, definition, paths, request.etag))

    async def ValidateWorkflow(
        self, request: service_pb2.ValidateWorkflowRequest, context: Any
    ) -> report_pb2.ValidationReport:
        key = key_of(request.namespace, request.workflow_id)
        if not request.HasField("definition"):
            return await asyncio.to_thread(report, await self._workflows.validate(key, None))
        definition = await asyncio.to_thread(to_json, request.definition)
        broken = await asyncio.to_thread(broken_rules, request.definition)
        return await asyncio.to_thread(report, await self._workflows.validate(key, definition, broken))

    async def PublishWorkflow(
        self, request: service_pb2.PublishWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        if request.dry_run:
            workflow, found = await self._workflows.preview(key, request.etag)
            shown = await asyncio.to_thread(report, found)
            return await self._translator.workflow(workflow, report=shown)
        changed, found = await self._workflows.publish(key, request.etag)
        shown = await asyncio.to_thread(report, found)
        return await self._translator.workflow(changed.workflow, changed.consistency_token, shown)

    async def DeactivateWorkflow(
        self, request: service_pb2.DeactivateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        return await self._changed(await self._workflows.change_status(key, Method.DEACTIVATE))

    async def ActivateWorkflow(
        self, request: service_pb2.ActivateWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        return await self._changed(await self._workflows.change_status(key, Method.ACTIVATE))

    async def ArchiveWorkflow(
        self, request: service_pb2.ArchiveWorkflowRequest, context: Any
    ) -> workflow_pb2.Workflow:
        key = key_of(request.namespace, request.workflow_id)
        return await self._changed(await self._workflows.change_status(key, Method.ARCHIVE))

    async def DeleteWorkflow(
        self, request: service_pb2.DeleteWorkflowRequest, context: Any
    ) -> empty_pb2.Empty:
        await self._workflows.delete(key_of(request.namespace, request.workflow_id), request.etag)
        return empty_pb2.Empty()

    async def ListWorkflowVersions(
        self, request: service_pb2.ListWorkflowVersionsRequest, context: Any
    ) -> service_pb2.ListWorkflowVersionsResponse:
        key = key_of(request.namespace, request.workflow_id)
        filters = paging.filter_hash("ListWorkflowVersions", *key)
        before = paging.decode_one(request.page_token, VERSION_KEY, filter_hash=filters)
        found, more = await self._versions.page(
            key,
            NO_VERSION_YET if before is None else before,
            paging.page_size(request.page_size),
            consistency_of(request.read_consistency),
        )
        token = paging.encode([found[-1].version], filter_hash=filters) if more else ""
        return service_pb2.ListWorkflowVersionsResponse(
            versions=[await self._translator.version(version) for version in found], next_page_token=token
        )

    async def CompareWorkflowVersions(
        self, request: service_pb2.CompareWorkflowVersionsRequest, context: Any
    ) -> report_pb2.WorkflowDifference:
        key = key_of(request.namespace, request.workflow_id)
        target = VersionQuery(key, request.target_version) if request.target_version else None
        found, base_version = await self._versions.compare(
            VersionQuery(key, request.base_version), target, consistency_of(request.read_consistency)
        )
        return await asyncio.to_thread(difference, found, base_version, request.target_version)

    async def GetWorkflowVersion(
        self, request: service_pb2.GetWorkflowVersionRequest, context: Any
    ) -> workflow_pb2.WorkflowVersion:
        query = VersionQuery(key_of(request.namespace, request.workflow_id), request.version)
        consistency = consistency_of(request.read_consistency)
        return await self._translator.version(await self._versions.get(query, consistency))

    async def BatchGetWorkflowVersions(
        self, request: service_pb2.BatchGetWorkflowVersionsRequest, context: Any
    ) -> service_pb2.BatchGetWorkflowVersionsResponse:
        questions = [
            StartQuery(
                VersionQuery(key_of(query.namespace, query.workflow_id), query.version), query.known_version
            )
            for query in request.queries
        ]
        answers = dict(zip(questions, await self._versions.resolve(questions), strict=True))
        return service_pb2.BatchGetWorkflowVersionsResponse(
            answers=await self._translator.fitting_answers([(each, answers[each]) for each in questions])
        )

    async def _changed(self, changed: Changed) -> workflow_pb2.Workflow:
        return await self._translator.workflow(changed.workflow, changed.consistency_token)
