"""Requests to start executions, with their payloads as JSON.

For a large payload, the workflow is looked up first, and a thread makes the conversion. So large requests
delay no other call.
"""

from collections.abc import Sequence

from service_kit.errors import ServiceError
from service_kit.tools.heavy import LARGE_BYTES, HeavyThread
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.ports.catalog import VersionQuery
from execution_orchestrator.application.starting.starts import StartRequest, Starts
from execution_orchestrator.entrypoints.struct_json import payload_text


class StartRequests:
    """A reader of the requests of StartExecution and BatchStartExecutions."""

    def __init__(self, starts: Starts) -> None:
        self._starts = starts
        self._thread = HeavyThread("starts")

    async def one(self, request: pb.StartExecutionRequest) -> StartRequest:
        """Return the start. Raise ServiceError for an input that cannot be kept.

        If the input is large, raise also what `Starts.check_active` raises.
        """
        size = request.input.ByteSize()
        if size <= LARGE_BYTES:
            return start_of(request)
        if not request.request_id:  # else it may repeat a start that was accepted
            await self._starts.check_active(_query_of(request))
        return await self._thread.run(size, start_of, request)

    async def all(self, requests: Sequence[pb.StartExecutionRequest]) -> list[StartRequest | Exception]:
        """Return each start of a batch, or why it is refused, in order."""
        size = sum(request.input.ByteSize() for request in requests)
        if size <= LARGE_BYTES:
            return list(map(_checked_request, requests))
        refusals = await self._refusals(requests)
        wanted = [request for request, refusal in zip(requests, refusals, strict=True) if refusal is None]
        wanted_bytes = sum(request.input.ByteSize() for request in wanted)
        checked = iter(await self._thread.run(wanted_bytes, _checked_requests, wanted))
        return [next(checked) if refusal is None else refusal for refusal in refusals]

    async def _refusals(self, requests: Sequence[pb.StartExecutionRequest]) -> list[Exception | None]:
        """Return for each request why it is refused whatever its input is, or None.

        A request with an id may repeat a start that was accepted, so it is not refused here.
        """
        queries = [None if request.request_id else _query_of(request) for request in requests]
        asked = [query for query in queries if query is not None]
        found = iter(await self._starts.refusals(asked))
        return [None if query is None else next(found) for query in queries]


def _query_of(request: pb.StartExecutionRequest) -> VersionQuery:
    return VersionQuery(request.namespace or DEFAULT_NAMESPACE, request.workflow_id, request.version)


def start_of(request: pb.StartExecutionRequest) -> StartRequest:
    """Return the start that a request asks for. Raise ServiceError if its input cannot be stored."""
    return StartRequest(
        request.namespace or DEFAULT_NAMESPACE,
        request.workflow_id,
        request.version,
        payload_text(request.input, "input"),
        dict(request.labels),
        request.request_id,
    )


def _checked_requests(requests: Sequence[pb.StartExecutionRequest]) -> list[StartRequest | ServiceError]:
    return list(map(_checked_request, requests))


def _checked_request(request: pb.StartExecutionRequest) -> StartRequest | ServiceError:
    """Return the start, or its error: one bad start of a batch does not harm the others."""
    try:
        return start_of(request)
    except ServiceError as error:
        return error
