import asyncio
import time
from typing import Any

import pytest
from testkit import eventually
from workflow_sdk import TaskContext, task
from workflow_sdk.testing import FakeOrchestrator
from workflow_sdk.worker.attempts import key_of

from tests.integration.sdk.conftest import StartWorker


class Sleeper:
    """A handler that runs until it is stopped, and notes that it was."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped_at: float | None = None

        @task("sleeper")
        async def sleeper(_: Any) -> None:
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped_at = time.monotonic()

        self.handler = sleeper


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


async def test_all_running_tasks_are_renewed_in_one_message_at_a_third_of_the_ttl(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    orchestrator.ttl = 0.6
    await start_worker(sleeper.handler)
    await orchestrator.give_leases([orchestrator.lease("sleeper") for _ in range(20)])
    await eventually(lambda: len(orchestrator.heartbeats) >= 2)
    started = time.monotonic()
    before = len(orchestrator.heartbeats)

    await eventually(lambda: len(orchestrator.heartbeats) >= before + 5)

    assert 0.7 < time.monotonic() - started < 2.0
    assert [len(m.heartbeats) for m in orchestrator.heartbeats[-3:]] == [20, 20, 20]
    assert not any(h.handler_alive for h in orchestrator.heartbeats[-1].heartbeats)


async def test_a_handler_with_a_renewed_lease_outlives_many_ttls(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    orchestrator.ttl = 0.3
    await start_worker(sleeper.handler)
    await orchestrator.give("sleeper")
    await eventually(lambda: len(orchestrator.heartbeats) >= 12)

    assert sleeper.stopped_at is None


async def test_a_worker_that_can_not_renew_stops_its_handler_before_the_lease_runs_out(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    orchestrator.ttl = 1.0
    await start_worker(sleeper.handler)
    await orchestrator.give("sleeper")
    await eventually(lambda: len(orchestrator.heartbeats) >= 4)
    last_renewal = time.monotonic()
    await orchestrator.stop()
    await eventually(lambda: sleeper.stopped_at is not None)
    assert sleeper.stopped_at is not None
    assert sleeper.stopped_at - last_renewal < orchestrator.ttl
    await orchestrator.start()
    session = await orchestrator.connected(2)

    await eventually(lambda: session.granted == [100])

    assert not orchestrator.results


async def test_heartbeats_that_nobody_answers_end_the_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    orchestrator.ttl = 0.6
    orchestrator.answers_heartbeats = False
    await start_worker(sleeper.handler)
    await orchestrator.give("sleeper")
    await orchestrator.connected(2)


async def test_a_stale_heartbeat_stops_the_handler_and_nothing_is_reported(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    orchestrator.ttl = 0.6
    await start_worker(sleeper.handler, slots=1)
    lease = await orchestrator.give("sleeper")
    orchestrator.stale.add(key_of(lease.task))
    await eventually(lambda: sleeper.stopped_at is not None)
    await eventually(lambda: orchestrator.session.granted == [1, 1])

    assert not orchestrator.results


async def test_a_stale_result_is_not_sent_again_and_does_not_count(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    @task("quick")
    async def quick(_: Any) -> None:
        return None

    running = await start_worker(quick)
    lease = orchestrator.lease("quick")
    orchestrator.stale.add(key_of(lease.task))
    await orchestrator.give_leases([lease])
    await orchestrator.result_of(lease)
    await orchestrator.result_of(await orchestrator.give("quick"))
    await eventually(lambda: running.worker.status.processed == 1)
    await running.drained()
    assert len(orchestrator.results) == 2


async def test_a_cancelled_handler_stops_and_says_so(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    await start_worker(sleeper.handler)
    lease = await orchestrator.give("sleeper")
    await sleeper.started.wait()
    orchestrator.cancel(lease)

    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"


async def test_a_revoked_handler_stops_and_nothing_is_reported(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    await start_worker(sleeper.handler, slots=1)
    lease = await orchestrator.give("sleeper")
    await sleeper.started.wait()
    orchestrator.cancel(lease, revoked=True)
    await eventually(lambda: orchestrator.session.granted == [1, 1])

    assert sleeper.stopped_at is not None
    assert not orchestrator.results


async def test_a_result_that_comes_in_spite_of_a_cancel_is_reported(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    started = asyncio.Event()

    @task("thorough")
    async def thorough(_: Any, context: TaskContext) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"cancelled": context.cancelled}

    await start_worker(thorough)
    lease = await orchestrator.give("thorough")
    await started.wait()
    orchestrator.cancel(lease)
    assert (await orchestrator.result_of(lease)).output == b'{"cancelled":true}'


async def test_a_handler_that_ignores_the_cancel_is_given_up_after_the_grace(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    @task("stubborn")
    async def stubborn(_: Any) -> str:
        started.set()
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    await start_worker(stubborn)
    lease = await orchestrator.give("stubborn")
    await started.wait()
    orchestrator.cancel(lease, grace=0.1)
    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"
    gate.set()
    await orchestrator.result_of(await orchestrator.give("stubborn"))
    assert len(orchestrator.results) == 2


async def test_an_async_handler_over_its_time_is_stopped_and_fails(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, sleeper: Sleeper
) -> None:
    await start_worker(sleeper.handler)
    lease = await orchestrator.give("sleeper", start_to_close=0.1)
    failure = (await orchestrator.result_of(lease)).failure

    assert failure.type == "StartToCloseTimeout"
    assert sleeper.stopped_at is not None


async def test_an_output_after_the_time_limit_is_a_timeout(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    @task("late")
    async def late(_: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        return "never"

    await start_worker(late)
    lease = await orchestrator.give("late", start_to_close=0.1)
    result = await orchestrator.result_of(lease)
    assert (result.WhichOneof("outcome"), result.failure.type) == ("failure", "StartToCloseTimeout")


async def test_a_lease_that_is_lost_after_a_cancel_ends_the_grace(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """The cancel leaves the handler a minute to clean up. When its claim is revoked, that time is over."""
    started, cleaning, revoked = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @task("thorough")
    async def thorough(_: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaning.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                revoked.set()
                raise

    await start_worker(thorough, slots=1)
    lease = await orchestrator.give("thorough")
    await started.wait()
    orchestrator.cancel(lease, grace=60.0)
    await cleaning.wait()
    orchestrator.cancel(lease, revoked=True)
    await eventually(revoked.is_set)
    await eventually(lambda: orchestrator.session.granted == [1, 1])
    assert not orchestrator.results


async def test_signs_of_life_are_passed_on_within_the_heartbeat_timeout(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    @task("lively")
    async def lively(_: Any, context: TaskContext) -> None:
        for step in range(100):
            context.heartbeat({"step": step})
            await asyncio.sleep(0.01)

    await start_worker(lively)
    lease = await orchestrator.give("lively", heartbeat_timeout=0.3)
    started = time.monotonic()

    def signs() -> list[Any]:
        return [h for m in orchestrator.heartbeats for h in m.heartbeats if h.handler_alive]

    await eventually(lambda: len(signs()) >= 5)
    assert time.monotonic() - started < 1.0
    await orchestrator.result_of(lease)
    assert len(orchestrator.heartbeats) < 20
    assert all(h.progress for h in signs())


async def test_a_handler_that_blocks_the_loop_loses_its_lease(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    orchestrator.ttl = 0.4

    @task("rude")
    async def rude(_: Any) -> None:
        time.sleep(0.8)  # noqa: ASYNC251 - what must not be done
        await asyncio.sleep(10)

    running = await start_worker(rude, slots=1)
    await orchestrator.give("rude")
    await eventually(lambda: sum(sum(s.granted) for s in orchestrator.sessions) >= 2)
    assert not orchestrator.results
    assert running.worker.status.worst_loop_lag_seconds > 0.3
