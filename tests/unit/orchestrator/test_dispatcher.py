"""The loop that feeds the sessions: credits, looks into the queue, and who goes first."""

import asyncio

import pytest
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.application.workers import dispatcher as dispatcher_module
from execution_orchestrator.application.workers.dispatcher import DispatcherPace
from execution_orchestrator.application.workers.store_feed import FeedPace
from grpc import StatusCode
from service_kit.errors import ServiceError
from testkit import eventually

from tests.unit.orchestrator.dispatching import Bench, hint

NOOP = ("default", "noop", "default")


NO_POLL = DispatcherPace(poll_seconds=3600.0)
"""The dispatcher looks only if something was reported to it."""

SHORT_OUTAGE = DispatcherPace(
    probe_seconds=0.01, feed=FeedPace(page=10, page_seconds=0.001, walk_seconds=0.01)
)


async def drained(bench: Bench) -> None:
    await eventually(lambda: NOOP in bench.roster.drained)


async def test_a_push_during_a_look_is_not_forgotten() -> None:
    bench = Bench(NO_POLL)
    bench.session(credits=5)
    bench.queue.gate.clear()

    async with bench.running():
        await eventually(lambda: bench.queue.pops_under_way == 1)
        await bench.queue.push([hint(1)])
        bench.roster.pushed({NOOP})
        bench.queue.gate.set()
        await eventually(lambda: bench.claimed == [1])


async def test_a_push_of_one_kind_makes_nobody_look_for_other_kinds() -> None:
    bench = Bench(NO_POLL)
    bench.session("noop", "sleep", credits=5)
    async with bench.running():
        await drained(bench)
        bench.roster.pushed({("default", "sleep", "default")})
        await eventually(lambda: bench.queue.pops == 2)

        assert NOOP in bench.roster.drained


async def test_a_claim_that_fails_gives_its_credit_back() -> None:
    bench = Bench(NO_POLL)
    session = bench.session(credits=1)
    await bench.queue.push([hint(1), hint(2)])

    async with bench.running():
        await eventually(lambda: bench.claimed == [1])
        assert session.credits == 0
        bench.pipeline.futures[0].set_exception(StoreUnavailableError("Postgres is away"))
        await eventually(lambda: bench.claimed == [1, 2])
        bench.pipeline.futures[1].cancel()
        await eventually(lambda: session.credits == 1)


async def test_an_overloaded_pipeline_gives_the_credit_back() -> None:
    bench = Bench(NO_POLL)
    session = bench.session(credits=1)
    bench.pipeline.refusal = ServiceError(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "the pipeline is full")
    await bench.queue.push([hint(1)])

    async with bench.running():
        await drained(bench)
        assert session.credits == 1
        bench.pipeline.refusal = None
        await bench.queue.push([hint(2)])
        bench.roster.pushed({NOOP})
        await eventually(lambda: bench.claimed == [2])


async def test_a_busy_dispatcher_finds_what_was_pushed_without_notice() -> None:
    """Results and credits wake it all the time, so that it never waits for the length of a poll."""
    bench = Bench()
    session = bench.session(credits=3)
    async with bench.running():
        await drained(bench)
        await bench.queue.push([hint(1)])

        def still_busy() -> bool:
            session.on_credit()
            return bench.claimed == [1]

        await eventually(still_busy)


async def test_groups_of_sessions_are_served_at_the_same_time() -> None:
    bench = Bench(NO_POLL)
    for number in range(5):
        bench.session(f"type-{number}", credits=1)
    bench.queue.gate.clear()
    async with bench.running():
        await eventually(lambda: bench.queue.pops_under_way == 5)
        bench.queue.gate.set()


async def test_sessions_of_a_group_share_one_look() -> None:
    bench = Bench(NO_POLL)
    for _ in range(50):
        bench.session("noop", credits=2)
    await bench.queue.push([hint(number) for number in range(101)])
    async with bench.running():
        await eventually(lambda: len(bench.claimed) == 100)

        assert bench.queue.pops == 1
        assert await bench.queue.length("default") == 1


async def test_a_full_queue_does_not_keep_a_worker_from_its_other_queues() -> None:
    bench = Bench(NO_POLL)
    session = bench.session(credits=1, queues=["default", "gpu"])
    await bench.queue.push([hint(number, queue="gpu" if number % 2 else "default") for number in range(20)])
    async with bench.running():
        for count in range(1, 9):
            await eventually(lambda count=count: len(bench.pipeline.submitted) == count)
            session.grant(1)

    assert sum(number % 2 for number in bench.claimed[:8]) == 4


async def test_hints_without_room_keep_their_places() -> None:
    bench = Bench(NO_POLL)
    session = bench.session(credits=3)
    await bench.queue.push([hint(number) for number in range(5)])
    bench.queue.gate.clear()

    async with bench.running():
        await eventually(lambda: bench.queue.pops_under_way == 1)
        session.credits = 1  # as if the pipeline had taken the others for tasks that just became ready
        bench.queue.gate.set()
        await eventually(lambda: bench.claimed == [0])
        session.grant(4)
        await eventually(lambda: bench.claimed == [0, 1, 2, 3, 4])


def test_a_new_task_does_not_go_before_one_that_found_no_room() -> None:
    """The hint of the first one is not in the queue yet: its transaction is not committed."""
    bench = Bench()
    session = bench.session(credits=1)
    bench.roster.drained.add([NOOP], bench.roster.drained.moment)
    assert bench.roster.reserve("default", "noop", "default", None) is session
    assert bench.roster.reserve("default", "noop", "default", None) is None
    session.grant(1)

    assert bench.roster.reserve("default", "noop", "default", None) is None


async def test_without_redis_sessions_are_fed_from_the_store_behind_jobs_of_others() -> None:
    bench = Bench(SHORT_OUTAGE)
    bench.queue.down = True
    bench.store.add(*(hint(number, "other") for number in range(95)), hint(100), hint(101))
    session = bench.session(credits=1)
    async with bench.running():
        await eventually(lambda: len(bench.pipeline.submitted) == 1)
        session.grant(1)
        await eventually(lambda: sorted(set(bench.claimed)) == [100, 101])


async def test_without_redis_a_new_task_skips_the_queue_if_a_whole_walk_found_nothing_of_its_kind() -> None:
    bench = Bench(SHORT_OUTAGE)
    bench.queue.down = True
    session = bench.session(credits=2)

    async with bench.running():
        await eventually(lambda: bench.roster.reserve("default", "noop", "default", None) is session)
        bench.store.add(hint(1))
        bench.roster.pushed({NOOP})
        assert bench.roster.reserve("default", "noop", "default", None) is None
        await eventually(lambda: bench.claimed == [1])


async def test_when_redis_answers_again_the_queue_feeds_the_sessions() -> None:
    bench = Bench(SHORT_OUTAGE)
    bench.queue.down = True
    bench.session(credits=2)

    async with bench.running():
        await eventually(lambda: bench.store.pages > 2)
        bench.queue.down = False
        await bench.queue.push([hint(1)])
        await eventually(lambda: bench.claimed == [1])
        pages = bench.store.pages
        await bench.queue.push([hint(2)])
        bench.roster.pushed({NOOP})

        await eventually(lambda: bench.claimed == [1, 2])

        assert bench.store.pages == pages


async def test_looks_are_limited_so_that_they_leave_connections_to_redis_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    for number in range(dispatcher_module.MAX_LOOKS + 10):
        bench.session(f"type-{number}", credits=1)
    bench.queue.gate.clear()

    async with bench.running():
        await eventually(lambda: bench.queue.pops_under_way == dispatcher_module.MAX_LOOKS)
        for _ in range(50):
            await asyncio.sleep(0)
        assert bench.queue.pops == dispatcher_module.MAX_LOOKS
        bench.queue.gate.set()
        await eventually(lambda: bench.queue.pops >= dispatcher_module.MAX_LOOKS + 10)
