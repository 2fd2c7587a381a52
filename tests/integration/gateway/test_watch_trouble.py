"""The watch keeps its promise while doorbells, Redis, the orchestrator and readers misbehave."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import pytest
from redis.asyncio import Redis
from service_kit.errors import ServiceError
from testkit import eventually
from workflow_gateway.tuning import Tuning
from workflow_gateway.watch import reader
from workflow_gateway.watch.kept import KeptLimits
from workflowsystem.gateway.v1.watch_service_pb2 import WatchExecutionRequest

from tests.fakes.orchestrator import CHANNEL, FakeExecutions, FakePeer
from tests.integration.gateway.running_gateway import RunningGateway
from tests.integration.gateway.watching import Watch


def blocking_until(due: float, now: Callable[[], float]) -> None:
    """Keep the event loop from running until its clock has reached `due`."""
    while now() < due:
        pass


@pytest.mark.parametrize("tuning", [Tuning(look_seconds=0.1)], ids=["look_seconds"])
@pytest.mark.parametrize("is_of_an_older_release", [False, True])
async def test_a_lost_doorbell_costs_time_but_no_event(
    channel: grpc.aio.Channel,
    executions: FakeExecutions,
    is_of_an_older_release: bool,
) -> None:
    """An orchestrator of an older release cannot be asked for many executions at once."""
    executions.is_of_an_older_release = is_of_an_older_release
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    executions.write(execution_id)
    executions.write(execution_id)
    await watch.read_to(3)
    executions.write(execution_id, final=True)
    await watch.read_all()
    assert watch.sequences == [2, 3, 4]


async def test_doorbells_that_come_twice_late_or_wrong_change_nothing(
    channel: grpc.aio.Channel, executions: FakeExecutions, redis_client: Redis
) -> None:
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    await executions.ring(execution_id, 10**15)
    await redis_client.publish(CHANNEL, "no doorbell\n\x00")
    for _ in range(20):
        sequence = await executions.happen(execution_id)
        await executions.ring(execution_id, sequence)
        await executions.ring(execution_id, 1)
    await executions.happen(execution_id, final=True)
    await watch.read_all()
    assert watch.sequences == list(range(2, 23))


async def test_a_doorbell_for_what_is_known_reads_nothing(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create(events=5)
    watch = Watch(channel, execution_id)
    await watch.read()
    for sequence in (1, 5, 5):
        await executions.ring(execution_id, sequence)
    await executions.happen(execution_id)
    await watch.read_to(6)
    assert executions.calls["ListExecutionEvents"] == 1


async def test_events_come_while_redis_is_away_and_after_it_came_back(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway, redis_server: Any
) -> None:
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    redis_server.kill()
    await eventually(lambda: not gateway.doorbell.connected)
    executions.write(execution_id)
    await watch.read_to(2)
    redis_server.start()
    await eventually(lambda: gateway.doorbell.connected, timeout=10)
    await executions.happen(execution_id, final=True)
    await watch.read_all()
    assert watch.sequences == [2, 3]


async def test_a_restart_of_the_orchestrator_is_ridden_out(
    channel: grpc.aio.Channel, executions: FakeExecutions, peer: FakePeer
) -> None:
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    await peer.stop()
    sequence = executions.write(execution_id)
    await executions.ring(execution_id, sequence)
    late = Watch(channel, execution_id, watch.token)
    await peer.start()
    await asyncio.gather(watch.read_to(2), late.read_to(2))
    await executions.happen(execution_id, final=True)
    await asyncio.gather(watch.read_all(), late.read_all())
    assert watch.sequences == late.sequences == [2, 3]


async def test_bookmarks_come_while_the_orchestrator_is_away(
    channel: grpc.aio.Channel, executions: FakeExecutions, peer: FakePeer, gateway: RunningGateway
) -> None:
    gateway.watcher.bookmark_seconds = 0.05
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    await peer.stop()
    await executions.ring(execution_id, 2)
    before = watch.bookmarks
    while watch.bookmarks < before + 2:
        await watch.read()


async def test_a_watch_that_begins_without_an_orchestrator_is_told_so(
    channel: grpc.aio.Channel, executions: FakeExecutions, peer: FakePeer, gateway: RunningGateway
) -> None:
    gateway.watcher.start_patience_seconds = 0.1
    execution_id = executions.create()
    await peer.stop()
    error = await Watch(channel, execution_id).error()
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert error.metadata == {"dependency": "orchestrator"}


async def test_a_page_with_a_hole_is_read_again(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    meddled: list[int] = []

    def lose_one(method: str, _request: Any, response: Any) -> Any:
        if method == "ListExecutionEvents" and len(response.events) > 3 and len(meddled) < 2:
            del response.events[1 if meddled else 0]
            meddled.append(1)
        return response

    executions.meddle = lose_one
    for _ in range(8):
        executions.write(execution_id)
    await executions.happen(execution_id, final=True)
    await watch.read_all()
    assert watch.sequences == list(range(2, 11))
    assert len(meddled) == 2


async def test_a_thousand_watchers_of_one_execution_share_its_reads(
    channel: grpc.aio.Channel, executions: FakeExecutions
) -> None:
    execution_id = executions.create()
    watches = [Watch(channel, execution_id) for _ in range(1_000)]
    await asyncio.gather(*(watch.read() for watch in watches))
    for _ in range(9):
        await executions.happen(execution_id)
    await executions.happen(execution_id, final=True)
    await asyncio.gather(*(watch.read_all() for watch in watches))
    assert all(watch.sequences == list(range(2, 12)) for watch in watches)
    assert executions.calls["ListExecutionEvents"] <= 11
    assert executions.calls["GetExecution"] < 100


@pytest.mark.parametrize("tuning", [Tuning(kept=KeptLimits(events=50))], ids=["kept"])
async def test_a_slow_reader_costs_reads_and_no_memory(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    execution_id = executions.create()
    slow, quick = Watch(channel, execution_id), Watch(channel, execution_id)
    await slow.read()
    await quick.read()
    for _ in range(40):
        for _ in range(50):
            executions.write(execution_id, reason="x" * 20_000)
        await executions.happen(execution_id)
    await quick.read_to(2_041)
    (open_feed,) = (shared.feed for shared in gateway.feeds._open.values())
    assert open_feed.kept_events <= 50
    await executions.happen(execution_id, final=True)
    await quick.read_all()
    reads_of_the_quick = executions.calls["ListExecutionEvents"]
    await slow.read_all()
    assert slow.sequences == quick.sequences == list(range(2, 2_043))
    assert executions.calls["ListExecutionEvents"] > reads_of_the_quick + 10


@pytest.mark.parametrize("tuning", [Tuning(look_seconds=0.5)], ids=["look_seconds"])
async def test_idle_watches_of_many_executions_cost_one_call_for_a_thousand_of_them(
    executions: FakeExecutions, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while Redis is away, when each execution is looked up every second."""
    asked: list[int] = []
    look = gateway.feeds._reader.last_sequences

    async def noted_look(namespace: str, execution_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        asked.append(len(execution_ids))
        return await look(namespace, execution_ids)

    monkeypatch.setattr(gateway.feeds._reader, "last_sequences", noted_look)
    began = [asyncio.Event() for _ in range(1_500)]

    async def watch(is_open: asyncio.Event) -> None:
        request = WatchExecutionRequest(execution_id=executions.create())
        async for _ in gateway.watcher.watch_execution(request, None):
            is_open.set()

    watches = [asyncio.create_task(watch(is_open)) for is_open in began]
    await asyncio.gather(*(asyncio.wait_for(is_open.wait(), 60) for is_open in began))
    del asked[:]
    await eventually(lambda: asked.count(1_000) >= 3, timeout=60)
    assert sum(asked) / len(asked) > 500
    assert executions.calls["BatchGetExecutionProgress"] >= 3
    assert executions.calls["ListExecutionEvents"] == 0
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)


async def test_what_every_watcher_has_received_is_not_kept(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    execution_id = executions.create()
    slow, quick = Watch(channel, execution_id), Watch(channel, execution_id)
    await slow.read()
    await quick.read()
    await executions.happen(execution_id)
    await quick.read_to(2)
    await slow.read_to(2)
    await eventually(lambda: gateway.feeds.budget.kept_bytes == 0)
    await executions.happen(execution_id, final=True)
    await asyncio.gather(slow.read_all(), quick.read_all())
    assert slow.sequences == quick.sequences == [2, 3]
    await eventually(lambda: gateway.feeds.budget.kept_bytes == 0)


async def test_all_feeds_keep_their_events_within_one_limit(
    executions: FakeExecutions, gateway: RunningGateway
) -> None:
    watches, kept_bytes = [], [0]
    for _ in range(2):
        execution_id = executions.create()
        watch = gateway.watcher.watch_execution(WatchExecutionRequest(execution_id=execution_id), None)
        watches.append(watch)
        await anext(watch)  # the snapshot; the watcher asks for nothing else, so the next event is kept
        await executions.happen(execution_id)
        await eventually(lambda: gateway.feeds.budget.kept_bytes > kept_bytes[-1])
        kept_bytes.append(gateway.feeds.budget.kept_bytes)
    for watch in watches:
        await watch.aclose()  # type: ignore[attr-defined]
    await eventually(lambda: gateway.feeds.budget.kept_bytes == 0)


async def test_a_feed_that_meets_a_defect_ends_its_watches_with_an_error(
    channel: grpc.aio.Channel, executions: FakeExecutions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that goes on with bookmarks alone would never say that it is blind."""
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()

    def defect(*_: Any) -> Any:
        raise KeyError("a defect")

    monkeypatch.setattr(reader, "event_message", defect)
    await executions.happen(execution_id)
    error = await asyncio.wait_for(watch.error(), 60)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert error.metadata["error_id"] in error.message
    monkeypatch.undo()
    again = Watch(channel, execution_id, watch.token)
    await executions.happen(execution_id, final=True)
    await again.read_all()
    assert again.sequences == [2, 3]


async def test_a_draining_gateway_ends_watches_with_a_token(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    execution_id = executions.create(events=2)
    watch = Watch(channel, execution_id)
    await watch.read()
    stopping = asyncio.create_task(gateway.stop(5))
    error = await watch.error()
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert watch.bookmarks == 1
    assert watch.token
    await stopping


async def test_a_watch_that_reaches_its_age_ends_with_a_token_that_goes_on(
    executions: FakeExecutions, aged_channel: grpc.aio.Channel
) -> None:
    execution_id = executions.create()
    watch = Watch(aged_channel, execution_id)
    await watch.read()
    error = await asyncio.wait_for(watch.error(), 60)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert "maximum age" in error.message
    executions.write(execution_id, final=True)
    rest = Watch(aged_channel, execution_id, watch.token)
    await rest.read_all()
    assert rest.sequences == [2]


async def test_a_drain_reaches_every_watch_though_bookmarks_fall_due_at_that_moment(
    executions: FakeExecutions, gateway: RunningGateway
) -> None:
    """A wait whose time is just over can't be rescheduled: that ended the drain half-way."""
    gateway.watcher.bookmark_seconds = 0.05
    ended: list[BaseException] = []

    async def watch() -> None:
        request = WatchExecutionRequest(execution_id=executions.create())
        try:
            async for _ in gateway.watcher.watch_execution(request, None):
                pass
        except ServiceError as error:
            ended.append(error)

    watches = [asyncio.create_task(watch()) for _ in range(50)]
    await eventually(lambda: len(gateway.feeds) == 50)

    def due_times() -> list[float]:
        waits = [position.waiting for position in gateway.watcher._open]
        return [when for wait in waits if wait is not None and (when := wait.when()) is not None]

    await eventually(lambda: len(due_times()) == 50)
    # In the next round of the loop the timers fire, and in the round after it this task goes on first: all
    # waits have expired, and no watch knows it yet.
    blocking_until(max(due_times()), asyncio.get_running_loop().time)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await gateway.watcher.drain()
    await asyncio.wait_for(asyncio.gather(*watches), 60)
    assert len(ended) == 50


async def test_a_watch_that_begins_without_an_orchestrator_does_not_hold_a_drain(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    gateway.watcher.start_patience_seconds = 600
    executions.answering.clear()
    watch = Watch(channel, executions.create())
    await eventually(lambda: executions.calls["GetExecution"] == 1)
    stopping = asyncio.create_task(gateway.stop(600))
    assert (await watch.error()).reason == "DRAINING"
    await asyncio.wait_for(stopping, 60)


async def test_a_full_gateway_says_so(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    gateway.watcher.max_watchers = 1
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    error = await Watch(channel, execution_id).error()
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_an_execution_removed_while_it_is_watched_ends_the_watch(
    channel: grpc.aio.Channel, executions: FakeExecutions, gateway: RunningGateway
) -> None:
    execution_id = executions.create()
    watch = Watch(channel, execution_id)
    await watch.read()
    del executions.histories[execution_id]
    await executions.ring(execution_id, 2)
    error = await watch.error()
    assert error.code is grpc.StatusCode.NOT_FOUND
    await eventually(lambda: len(gateway.feeds) == 0)
