"""Reads of the orchestrator for watchers: an answer that is refused for its size will be refused again."""

from uuid import UUID

import grpc
import pytest
from prometheus_client import CollectorRegistry
from service_kit.errors import OVERLOADED, STATUS_DETAILS_KEY, ServiceError, resource_exhausted, to_status
from workflow_gateway.watch.messages import ExecutionKey
from workflow_gateway.watch.reader import ExecutionReader, UpstreamAwayError

KEY = ExecutionKey("default", UUID(int=1))


def failing_reader(trailers: grpc.aio.Metadata, details: str) -> ExecutionReader:
    async def refused(*_: object, **__: object) -> None:
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)

    reader = ExecutionReader(grpc.aio.insecure_channel("127.0.0.1:1"), CollectorRegistry())
    reader._stub.GetExecution = refused
    return reader


async def test_an_answer_that_is_too_large_ends_the_watch_and_says_so() -> None:
    reader = failing_reader(grpc.aio.Metadata(), "Sent message larger than max (4950127 vs. 4259840)")

    with pytest.raises(ServiceError, match="larger than max") as caught:
        await reader.snapshot(KEY)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_orchestrator_that_is_overloaded_is_asked_again() -> None:
    status = to_status(resource_exhausted(OVERLOADED, "try again"))
    trailers = grpc.aio.Metadata((STATUS_DETAILS_KEY, status.SerializeToString()))

    with pytest.raises(UpstreamAwayError):
        await failing_reader(trailers, "try again").snapshot(KEY)
