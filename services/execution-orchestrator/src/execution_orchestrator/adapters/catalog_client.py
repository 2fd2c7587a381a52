"""The catalog over gRPC. The start path asks it once for a whole batch of starts.

Versions never change, so their definitions are kept in memory and not sent again; whether the workflow is
Active is asked every time, so that a deactivation holds from the very next start.
"""

from collections import OrderedDict
from collections.abc import Sequence

import grpc
from google.rpc import error_details_pb2, status_pb2
from service_kit.batching import Batcher
from workflow.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflow.catalog.v1 import workflow_catalog_service_pb2_grpc
from workflow.catalog.v1.workflow_pb2 import WorkflowStatus

from execution_orchestrator.application.ports_catalog import (
    CatalogUnavailableError,
    ResolvedVersion,
    VersionQuery,
    WorkflowNotFoundError,
)

MAX_DEFINITIONS = 1_000
MAX_QUERIES = 1_000
TIMEOUT_SECONDS = 5.0

VersionKey = tuple[str, str, int]


class CatalogClient:
    """The port `Catalog`, on a channel to the catalog."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub(channel)
        self._calls = Batcher(self._call, max_batch=MAX_QUERIES)
        self._definitions: OrderedDict[VersionKey, bytes] = OrderedDict()
        self._latest: dict[tuple[str, str, int], int] = {}  # by what was asked: the version it was last

    async def resolve(self, query: VersionQuery) -> ResolvedVersion:
        """See the port."""
        return await self._calls.submit(query)

    async def close(self) -> None:
        """Finish what was asked."""
        await self._calls.close()

    async def _call(self, queries: Sequence[VersionQuery]) -> list[ResolvedVersion | Exception]:
        distinct = list(dict.fromkeys(queries))
        request = pb.BatchGetWorkflowVersionsRequest(queries=map(self._question, distinct))
        try:
            response = await self._stub.BatchGetWorkflowVersions(
                request, timeout=TIMEOUT_SECONDS, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise CatalogUnavailableError(f"{error.code().name}: {error.details()}") from error
        answers = dict(zip(distinct, map(self._answer, distinct, response.answers), strict=True))
        return [answers[query] for query in queries]

    def _question(self, query: VersionQuery) -> pb.BatchGetWorkflowVersionsRequest.Query:
        known = self._latest.get(query, 0)
        if (query.namespace, query.workflow_id, known) not in self._definitions:
            known = 0
        return pb.BatchGetWorkflowVersionsRequest.Query(
            namespace=query.namespace,
            workflow_id=query.workflow_id,
            version=query.version,
            known_version=known,
        )

    def _answer(
        self, query: VersionQuery, answer: pb.BatchGetWorkflowVersionsResponse.Answer
    ) -> ResolvedVersion | Exception:
        if answer.HasField("error"):
            reason = _reason_of(answer.error) or "WORKFLOW_NOT_FOUND"
            return WorkflowNotFoundError(reason, answer.error.message, query)
        found = answer.version
        key = (query.namespace, query.workflow_id, found.version)
        if found.HasField("definition"):
            self._keep(key, found.definition.SerializeToString(deterministic=True))
        self._definitions.move_to_end(key)
        self._latest[query] = found.version
        status = WorkflowStatus.Name(answer.workflow_status).removeprefix("WORKFLOW_STATUS_")
        return ResolvedVersion(status, found.version, self._definitions[key])

    def _keep(self, key: VersionKey, definition: bytes) -> None:
        self._definitions[key] = definition
        while len(self._definitions) > MAX_DEFINITIONS:
            namespace, workflow_id, version = self._definitions.popitem(last=False)[0]
            for asked in ((namespace, workflow_id, 0), (namespace, workflow_id, version)):
                self._latest.pop(asked, None)


def _reason_of(status: status_pb2.Status) -> str:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
