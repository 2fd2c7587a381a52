"""WatchExecution: a snapshot, then every event once, in order, without a gap, to the end."""

import asyncio
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from testkit import eventually
from workflow_gateway.watch import watcher
from workflow_gateway.watch.tokens import ResumeToken, encode

from tests.fakes.orchestrator import FakeExecutions
from tests.integration.gateway.running_gateway import RunningGateway
from tests.integration.gateway.watching import Watch


async def test_a_watch_is_a_snapshot_then_every_later_event_and_ends_after_the_final_one(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=3)
    watch = Watch(channel, execution_id)
    await watch.read()
    assert watch.snapshot.last_sequence == 3
    for _ in range(5):
        await executions.happen(execution_id)
    await executions.happen(execution_id, final=True)

    await watch.read_all()

    assert watch.sequences == [4, 5, 6, 7, 8, 9]
    assert watch.final_bookmarks == 0


async def test_a_watch_of_a_final_execution_is_its_snapshot(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    execution_id = executions.create(events=3)
    executions.write(execution_id, final=True)
    watch = Watch(channel, execution_id)
    await watch.read_all()
    assert watch.snapshot.final
    assert watch.sequences == []
    await eventually(lambda: len(gateway.feeds) == 0)


async def test_an_unknown_execution_is_not_found(channel: grpc.aio.Channel, gateway: RunningGateway) -> None:
    error = await Watch(channel, str(uuid4())).error()

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
    assert len(gateway.feeds) == 0


async def test_an_execution_id_that_is_none_is_refused_by_name(channel: grpc.aio.Channel) -> None:
    error = await Watch(channel, "census-1").error()

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert error.violations[0].field == "execution_id"


async def test_a_resumed_watch_goes_on_after_its_token_without_a_snapshot(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create()
    first = Watch(channel, execution_id)
    await first.read()
    for _ in range(4):
        await executions.happen(execution_id)
    await first.read_to(3)
    first.call.cancel()
    await executions.happen(execution_id, final=True)

    second = Watch(channel, execution_id, first.token)
    await second.read_all()
    assert second.snapshot is None
    assert second.sequences == [4, 5, 6]


async def test_a_token_of_the_snapshot_resumes_too(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=2)
    first = Watch(channel, execution_id)
    await first.read()
    first.call.cancel()
    executions.write(execution_id, final=True)
    second = Watch(channel, execution_id, first.token)
    await second.read_all()

    assert second.sequences == [3]


async def test_a_resume_after_the_final_event_says_that_it_is_the_end(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    """Without a message the client could not tell the end of the execution from a stream that was cut."""
    execution_id = executions.create(events=2)
    executions.write(execution_id, final=True)
    first = Watch(channel, execution_id)
    await first.read_all()
    second = Watch(channel, execution_id, first.token)
    await second.read_all()
    assert (second.snapshot, second.sequences) == (None, [])
    assert (second.bookmarks, second.final_bookmarks) == (1, 1)
    third = Watch(channel, execution_id, second.token)

    await third.read_all()

    assert third.final_bookmarks == 1


async def test_a_long_history_is_caught_up_page_by_page(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create()
    first = Watch(channel, execution_id)
    await first.read()
    first.call.cancel()
    for _ in range(1_000):
        executions.write(execution_id)
    executions.write(execution_id, final=True)
    second = Watch(channel, execution_id, first.token)

    await second.read_all()

    assert second.sequences == list(range(2, 1_003))


@pytest.mark.parametrize("token", ["x", "AAAA", "Ä" * 20])
async def test_a_damaged_token_is_refused(
    channel: grpc.aio.Channel, executions: FakeExecutions, token: str
) -> None:
    error = await Watch(channel, executions.create(), token).error()

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID")
    assert "watch again without it" in error.message


async def test_a_token_of_another_execution_is_refused(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    other = Watch(channel, executions.create())
    await other.read()
    error = await Watch(channel, executions.create(), other.token).error()

    assert error.reason == "RESUME_TOKEN_INVALID"


async def test_a_token_ahead_of_the_history_is_refused(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    """Such a watch would wait for ever for events that it says it has seen."""
    execution_id = executions.create(events=5)
    token = encode(ResumeToken(UUID(execution_id), 6))
    error = await Watch(channel, execution_id, token).error()

    assert error.reason == "RESUME_TOKEN_INVALID"


async def test_a_token_from_a_gateway_that_knows_more_is_good(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=5)
    watch = Watch(channel, execution_id)
    await watch.read()
    executions.write(execution_id)
    resumed = Watch(channel, execution_id, encode(ResumeToken(UUID(execution_id), 6)))
    executions.write(execution_id, final=True)
    await resumed.read_all()

    assert resumed.sequences == [7]


async def test_a_token_behind_what_is_kept_is_expired(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=1)
    watch = Watch(channel, execution_id)
    await watch.read()

    def without_old(method: str, _request: object, response: object) -> object:
        if method == "ListExecutionEvents":
            kept = [event for event in response.events if event.sequence > 4]  # type: ignore[attr-defined]
            del response.events[:]  # type: ignore[attr-defined]
            response.events.extend(kept)  # type: ignore[attr-defined]
        return response

    executions.meddle = without_old
    for _ in range(5):
        await executions.happen(execution_id)
    resumed = Watch(channel, execution_id, watch.token)
    error = await resumed.error()
    assert (error.code, error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    assert resumed.sequences == []


async def test_silence_is_broken_by_bookmarks_that_resume(
    channel: grpc.aio.Channel,
    executions: FakeExecutions,
    monkeypatch: pytest.MonkeyPatch,
    gateway: RunningGateway,
) -> None:
    gateway.watcher.bookmark_seconds = 0.05
    execution_id = executions.create(events=2)
    first = Watch(channel, execution_id)
    while first.bookmarks < 3:
        await first.read()
    first.call.cancel()
    executions.write(execution_id, final=True)
    second = Watch(channel, execution_id, first.token)

    await second.read_all()

    assert second.sequences == [3]


def test_bookmarks_come_within_the_time_of_the_contract() -> None:
    assert watcher.BOOKMARK_SECONDS < 15


async def test_the_watchers_are_counted(
    channel: grpc.aio.Channel, executions: FakeExecutions, registry: object
) -> None:
    def watchers() -> float | None:
        return registry.get_sample_value("workflow_watchers")  # type: ignore[attr-defined, no-any-return]

    execution_id = executions.create()
    watches = [Watch(channel, execution_id) for _ in range(3)]
    await asyncio.gather(*(watch.read() for watch in watches))
    assert watchers() == 3
    watches[0].call.cancel()
    await eventually(lambda: watchers() == 2)
    await executions.happen(execution_id, final=True)
    await asyncio.gather(*(watch.read_all() for watch in watches[1:]))
    await eventually(lambda: watchers() == 0)
    delivered = registry.get_sample_value("workflow_watch_delivery_seconds_count")  # type: ignore[attr-defined]
    assert delivered == 2
