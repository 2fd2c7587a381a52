import asyncio
from typing import Any

import grpc
import pytest
from testkit import eventually
from workflow_sdk import Client
from workflow_sdk.calls import Caller
from workflow_sdk.errors import (
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ResumeTokenExpiredError,
    UnavailableError,
)
from workflow_sdk.models import WatchUpdate
from workflow_sdk.testing import FakeGateway, RefusedError
from workflow_sdk.testing.gateway import EXECUTION_ID as ID
from workflow_sdk.testing.gateway import execution
from workflow_sdk.watch import watch
from workflowsystem.execution.v1 import event_pb2
from workflowsystem.gateway.v1 import watch_service_pb2, watch_service_pb2_grpc

UNAVAILABLE = RefusedError(grpc.StatusCode.UNAVAILABLE, "starting", "DRAINING")


def snapshot(sequence: int, **fields: Any) -> watch_service_pb2.WatchExecutionResponse:
    return watch_service_pb2.WatchExecutionResponse(
        snapshot=execution(last_sequence=sequence, **fields), resume_token=f"t{sequence}"
    )


def event(sequence: int, **fields: Any) -> watch_service_pb2.WatchExecutionResponse:
    happened = event_pb2.ExecutionEvent(
        execution_id=ID, sequence=sequence, type=event_pb2.EXECUTION_EVENT_TYPE_TASK_SUCCEEDED, **fields
    )
    return watch_service_pb2.WatchExecutionResponse(event=happened, resume_token=f"t{sequence}")


BOOKMARK = watch_service_pb2.WatchExecutionResponse(bookmark={}, resume_token="t3")


async def watched(client: Client, **options: Any) -> list[WatchUpdate]:
    return [update async for update in client.watch(ID, **options)]


async def watched_impatiently(client: Client, silence_seconds: float, patience: float) -> list[WatchUpdate]:
    """Watch with another time after which a silent stream counts as dead."""
    parts = (client._watches, client._caller, client.namespace, ID, "", patience)
    return [update async for update in watch(*parts, silence_seconds=silence_seconds)]


async def test_a_watch_gives_a_snapshot_and_then_every_event(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), event(3), BOOKMARK, event(4, final=True)]]
    first, *events = await watched(client)

    assert first.snapshot is not None
    assert first.snapshot.last_sequence == 2
    assert [update.event.sequence for update in events if update.event] == [3, 4]
    assert events[0].event is not None
    assert events[0].event.type == "TASK_SUCCEEDED"
    assert events[-1].resume_token == "t4"


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    ],
)
async def test_a_watch_goes_on_over_a_broken_stream_and_repeats_nothing(
    gateway: FakeGateway, client: Client, code: grpc.StatusCode
) -> None:
    gateway.answers["WatchExecution"] = [
        [snapshot(2), event(3), RefusedError(code, "broken")],
        [event(3), event(4), RefusedError(code, "broken")],
        [event(5, final=True)],
    ]
    updates = await watched(client)
    assert [update.event.sequence for update in updates if update.event] == [3, 4, 5]
    tokens = [request.resume_token for request in gateway.requests["WatchExecution"]]

    assert tokens == ["", "t3", "t4"]


async def test_a_watch_goes_on_over_a_restart_of_the_gateway(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), event(3), asyncio.Event()], [event(4, final=True)]]
    watching = asyncio.create_task(watched(client))
    await eventually(lambda: len(gateway.requests["WatchExecution"]) == 1)
    await gateway.stop()
    await gateway.start()

    assert [update.event.sequence for update in await watching if update.event][-1] == 4


async def test_a_stream_that_ends_before_the_execution_is_opened_again(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2)], [event(3, final=True)]]
    assert len(await watched(client)) == 2


async def test_a_watch_of_a_final_execution_is_its_snapshot(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(9, final=True)]]
    (only,) = await watched(client)

    assert only.snapshot is not None
    assert only.snapshot.final


async def test_a_watch_resumes_from_a_token_of_before(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WatchExecution"] = [[event(8, final=True)]]

    assert len(await watched(client, resume_token="t7")) == 1
    assert gateway.requests["WatchExecution"][0].resume_token == "t7"


END = watch_service_pb2.WatchExecutionResponse(bookmark={"final": True}, resume_token="t9")


async def test_a_watch_that_resumes_at_the_last_event_of_a_final_execution_ends_at_once(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[END]]

    assert await watched(client, resume_token="t9") == []
    assert len(gateway.requests["WatchExecution"]) == 1


async def test_a_watch_has_ended_also_if_its_stream_breaks_after_the_final_event(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), event(3, final=True), UNAVAILABLE]]

    assert len(await watched(client)) == 2
    assert len(gateway.requests["WatchExecution"]) == 1


async def test_a_stream_that_falls_silent_is_opened_again(gateway: FakeGateway, client: Client) -> None:
    """A connection through a dead router delivers nothing, and no error either."""
    gateway.answers["WatchExecution"] = [[snapshot(2), event(3), asyncio.Event()], [event(4, final=True)]]
    async with asyncio.timeout(60):
        updates = await watched_impatiently(client, silence_seconds=0.5, patience=30.0)

    assert [update.event.sequence for update in updates if update.event] == [3, 4]
    assert gateway.requests["WatchExecution"][1].resume_token == "t3"


async def test_a_gateway_that_stays_silent_ends_the_watch_after_its_patience(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), asyncio.Event()], [asyncio.Event()]]
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="sent nothing for"):
            await watched_impatiently(client, silence_seconds=0.3, patience=1.0)

    assert len(gateway.requests["WatchExecution"]) > 2


OVERLOADED = RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "OVERLOADED")


async def test_a_watch_waits_until_a_full_gateway_takes_it_again(
    gateway: FakeGateway, client: Client
) -> None:
    """After a gateway has died, the watches of all its clients arrive at the others."""
    gateway.answers["WatchExecution"] = [
        [snapshot(2), event(3), UNAVAILABLE],
        OVERLOADED,
        OVERLOADED,
        [event(4, final=True)],
    ]
    updates = await watched(client)

    assert [update.event.sequence for update in updates if update.event] == [3, 4]


async def test_a_gateway_that_stays_full_ends_the_watch_after_its_patience(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), UNAVAILABLE], OVERLOADED]

    with pytest.raises(OverloadedError):
        await watched(client, patience=0.3)
    assert len(gateway.requests["WatchExecution"]) > 2


async def test_a_watch_that_has_not_begun_leaves_a_full_gateway_to_its_caller(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [OVERLOADED]

    with pytest.raises(OverloadedError):
        await watched(client)
    assert len(gateway.requests["WatchExecution"]) == 1


async def test_the_time_that_the_caller_takes_for_an_update_costs_no_patience(gateway: FakeGateway) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), UNAVAILABLE], [event(3, final=True)]]
    now = 0.0
    caller = Caller(monotonic=lambda: now)
    seen = 0

    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = watch_service_pb2_grpc.WatchServiceStub(channel)
        async for _ in watch(stub, caller, "shop", ID, "", patience=60):
            seen += 1
            now += 600

    assert seen == 2


async def test_a_watch_gives_up_when_nobody_answers_for_its_patience(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        await watched(client, patience=0.2)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.OUT_OF_RANGE, ResumeTokenExpiredError),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
    ],
)
async def test_a_watch_that_is_refused_is_not_tried_again(
    gateway: FakeGateway, client: Client, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    gateway.answers["WatchExecution"] = [RefusedError(code)]

    with pytest.raises(kind):
        await watched(client)
    assert len(gateway.requests["WatchExecution"]) == 1


async def test_cancelling_a_watch_ends_it_here_and_does_not_retry(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["WatchExecution"] = [[snapshot(2), asyncio.Event()]]
    watching = asyncio.create_task(watched(client))
    await eventually(lambda: len(gateway.requests["WatchExecution"]) == 1)
    watching.cancel()

    with pytest.raises(asyncio.CancelledError):
        await watching


class StreamThatEndsQuietly:
    """A stream without a message; the first that is cancelled ends as if nothing had happened."""

    opened = 0

    def WatchExecution(self, request: Any, metadata: Any) -> "StreamThatEndsQuietly":  # noqa: N802
        self.opened += 1
        return self

    def __aiter__(self) -> "StreamThatEndsQuietly":
        return self

    async def __anext__(self) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.opened == 1:
                raise StopAsyncIteration from None
            raise

    def cancel(self) -> None:
        """There is nothing to end."""


async def test_a_cancelled_watch_ends_also_when_its_stream_swallows_the_cancellation() -> None:
    stream = StreamThatEndsQuietly()

    async def until_the_end() -> None:
        async for _ in watch(stream, Caller(), "default", ID, "", patience=60):
            pass

    watching = asyncio.create_task(until_the_end())
    await eventually(lambda: stream.opened == 1)
    watching.cancel()
    await asyncio.wait({watching}, timeout=5)
    assert watching.cancelled()
    assert stream.opened == 1
