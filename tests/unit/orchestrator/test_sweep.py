"""The sweep: lost hints come back, stale ones go, and neither costs more than a bounded rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.upkeep.sweep import Sweep, SweepPace
from testkit import eventually

from tests.fakes.lock import FakeLock, FakeLocks
from tests.fakes.queue import FakeQueue
from tests.fakes.store import NOW, FakeStore

ALL = {("default", "noop")}
QUICK = SweepPace(period_seconds=0.01, page_seconds=0.001)


def hint(number: int, queue: str = "default") -> Hint:
    return Hint("default", UUID(int=number + 1), "only", -1, "noop", queue)


class Bench:
    """A sweep with everything that it needs, and how often it reported a push."""

    def __init__(
        self,
        store: FakeStore,
        *,
        marked: bool = True,
        locks: FakeLocks | None = None,
        pace: SweepPace = QUICK,
    ) -> None:
        self.store, self.queue = store, FakeQueue()
        self.locks = locks or FakeLocks()
        self.reported = 0
        self.marked = marked
        parts: Any = (store, self.queue, FakeLock(self.locks, "queue-sweep"), self._report)
        self.sweep = Sweep(*parts, pace)

    def _report(self) -> None:
        self.reported += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self.marked:
            await self.queue.mark_generation("default")
        task = asyncio.create_task(self.sweep.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.sweep.close()

    async def holds(self, count: int, queue: str = "default") -> None:
        async def so_many() -> bool:
            return await self.queue.length(queue) == count

        await eventually(so_many)


async def test_lost_hints_come_back_page_by_page() -> None:
    hints = [hint(number) for number in range(10)]
    bench = Bench(FakeStore(*hints), pace=replace(QUICK, page=3))
    async with bench.running():
        await bench.holds(10)
    assert max(bench.queue.pushes) == 3
    taken = await bench.queue.pop("default", 10, ALL)

    assert [each.hint for each in taken] == hints


async def test_one_round_handles_one_page_only_however_much_waits() -> None:
    bench = Bench(FakeStore(*(hint(number) for number in range(30))), pace=replace(QUICK, page=3))
    await bench.queue.mark_generation("default")
    for rounds in range(1, 5):
        await bench.sweep._round()
        assert bench.queue.pushes == [3] * rounds


async def test_the_dispatcher_is_notified_of_hints_that_came_back_and_of_nothing_else() -> None:
    bench = Bench(FakeStore(hint(1)))
    async with bench.running():
        await eventually(lambda: len(bench.queue.pushes) >= 3)

    assert bench.reported == 1


async def test_young_tasks_are_left_to_those_who_push_them() -> None:
    bench = Bench(FakeStore(hint(1), age=timedelta(seconds=1)))
    async with bench.running():
        await eventually(lambda: len(bench.store.beginnings) >= 3)

    assert bench.queue.pushes == []


async def test_a_wiped_queue_is_rebuilt_with_young_tasks_and_without_the_lock() -> None:
    locks = FakeLocks()
    assert await FakeLock(locks, "queue-sweep").try_acquire()
    store = FakeStore(*(hint(number) for number in range(10)), age=timedelta())
    bench = Bench(store, locks=locks, pace=replace(QUICK, page=3))
    async with bench.running():
        bench.queue.wipe()
        await bench.holds(10)


async def test_a_rebuild_goes_on_after_redis_was_away_in_the_middle_of_it() -> None:
    bench = Bench(FakeStore(*(hint(number) for number in range(5)), age=timedelta()), marked=False)
    bench.queue.down = True
    async with bench.running():
        await eventually(lambda: len(bench.store.beginnings) >= 2)
        bench.queue.down = False
        await bench.holds(5)


async def test_hints_of_tasks_that_are_not_ready_any_more_are_removed_from_every_queue() -> None:
    kept = [hint(number) for number in range(5)]
    bench = Bench(FakeStore(*kept))
    await bench.queue.push([*kept, *(hint(number) for number in range(100, 105)), hint(200, "gpu")])
    async with bench.running():
        await bench.holds(5)
        await bench.holds(0, "gpu")

    assert {each.hint for each in await bench.queue.pop("default", 10, ALL)} == set(kept)


async def test_a_look_for_stale_hints_asks_for_one_page_if_nothing_is_stale() -> None:
    kept = [hint(number) for number in range(5_000)]
    bench = Bench(FakeStore(*kept))
    await bench.queue.mark_generation("default")
    await bench.queue.push(kept)
    await bench.sweep._round()

    assert bench.store.asked == 1_000


async def test_walks_begin_near_the_oldest_task_and_sometimes_at_the_very_beginning() -> None:
    seldom = replace(QUICK, full_walk_seconds=3600.0)
    bench = Bench(FakeStore(hint(1), age=timedelta(hours=5)), pace=seldom)

    async with bench.running():
        await eventually(lambda: len(bench.store.beginnings) >= 3)
        assert bench.store.beginnings[:3] == [None, *[NOW - timedelta(hours=5, minutes=10)] * 2]
        bench.store.ready.clear()
        await eventually(lambda: bench.store.beginnings[-1] == NOW - timedelta(minutes=10))
        bench.sweep._full_walk_time = 0.0
        count = len(bench.store.beginnings)
        await eventually(lambda: None in bench.store.beginnings[count:])


async def test_a_sweep_that_ends_lets_another_replica_lead_at_once() -> None:
    locks = FakeLocks()
    bench = Bench(FakeStore(hint(1)), locks=locks)
    other = FakeLock(locks, "queue-sweep")
    async with bench.running():
        await bench.holds(1)
        assert not await other.try_acquire()

    assert await other.try_acquire()
