"""The catalog over gRPC. The start path asks it once for a whole batch of starts.

A version never changes, so the client keeps its definition in memory and the catalog does not send it again.
The client asks every time whether the workflow is Active, so a deactivation holds from the very next start.
"""

from collections.abc import Sequence
from typing import NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2
from service_kit.errors import OVERLOADED, from_rpc_error
from service_kit.tools.bounded_cache import BoundedCache
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc
from workflowsystem.catalog.v1.workflow_pb2 import WorkflowStatus

from execution_orchestrator.application.ports.catalog import (
    CatalogUnavailableError,
    ResolvedVersion,
    VersionQuery,
    WorkflowNotFoundError,
)
from execution_orchestrator.application.upkeep import metrics

MAX_DEFINITIONS = 1_000
MAX_DEFINITION_BYTES = 64 * 1024 * 1024
"""Of all definitions in memory, serialized."""
MAX_QUERIES = 1_000
"""Of one call; the contract allows no more."""
TIMEOUT_SECONDS = 5.0


class Known(NamedTuple):
    """The last version that the catalog answered to a query."""

    version: int
    definition: bytes


NOTHING = Known(0, b"")


class CatalogClient:
    """The port `Catalog`, on a channel to the catalog."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._stub = workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub(channel)
        self._known: BoundedCache[VersionQuery, Known] = BoundedCache(
            max_entries=MAX_DEFINITIONS, max_bytes=MAX_DEFINITION_BYTES
        )

    async def resolve(self, queries: Sequence[VersionQuery]) -> list[ResolvedVersion | Exception]:
        """Do what the port says. Equal queries become one; the definitions may need several calls."""
        distinct = list(dict.fromkeys(queries))
        answers = dict(zip(distinct, await self._ask(distinct), strict=True))
        return [answers[query] for query in queries]

    async def _ask(self, queries: list[VersionQuery]) -> list[ResolvedVersion | Exception]:
        if not queries:
            return []
        if len(queries) > MAX_QUERIES:
            return await self._ask_in_halves(queries)
        known = [self._known.get(query) or NOTHING for query in queries]
        request = pb.BatchGetWorkflowVersionsRequest(queries=map(_question, queries, known))
        metrics.catalog_calls.inc()
        metrics.catalog_queries.inc(len(queries))
        try:
            response = await self._stub.BatchGetWorkflowVersions(
                request, timeout=self._timeout_seconds, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if len(queries) > 1 and _is_too_large(error):
                return await self._ask_in_halves(queries)
            problem = f"{error.code().name}: {error.details()}"
            return [CatalogUnavailableError(problem) for _ in queries]
        answers = dict(zip(queries, map(self._answer, queries, known, response.answers), strict=True))
        left_out = [
            query
            for query, answer in zip(queries, response.answers, strict=True)
            if answer.definition_left_out
        ]
        if left_out and len(left_out) < len(queries):
            answers |= zip(left_out, await self._ask(left_out), strict=True)
        return list(answers.values())

    async def _ask_in_halves(self, queries: list[VersionQuery]) -> list[ResolvedVersion | Exception]:
        middle = len(queries) // 2
        return await self._ask(queries[:middle]) + await self._ask(queries[middle:])

    def _answer(
        self, query: VersionQuery, known: Known, answer: pb.BatchGetWorkflowVersionsResponse.Answer
    ) -> ResolvedVersion | Exception:
        status = WorkflowStatus.Name(answer.workflow_status).removeprefix("WORKFLOW_STATUS_")
        if answer.HasField("error"):
            if status == "DRAFT":
                return ResolvedVersion(status, 0, b"")  # "the workflow is a DRAFT" says it better
            reason = _reason_of(answer.error) or "WORKFLOW_NOT_FOUND"
            return WorkflowNotFoundError(reason, answer.error.message, query)
        found = answer.version
        if found.HasField("definition"):
            known = Known(found.version, found.definition.SerializeToString(deterministic=True))
        elif known is NOTHING or found.version != known.version:
            # Without a definition the execution would have no tasks, and would complete at once.
            return CatalogUnavailableError(f"the catalog sent no definition of version {found.version}")
        self._known.put(query, known, len(known.definition))
        return ResolvedVersion(status, known.version, known.definition)


def _is_too_large(error: grpc.aio.AioRpcError) -> bool:
    """Return whether the unknown definitions together exceed the size of a message.

    An overloaded catalog answers with the same code, and must not be asked more often.
    """
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and from_rpc_error(error).reason != OVERLOADED


def _question(query: VersionQuery, known: Known) -> pb.BatchGetWorkflowVersionsRequest.Query:
    return pb.BatchGetWorkflowVersionsRequest.Query(
        namespace=query.namespace,
        workflow_id=query.workflow_id,
        version=query.version,
        known_version=known.version,
    )


def _reason_of(status: status_pb2.Status) -> str:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
