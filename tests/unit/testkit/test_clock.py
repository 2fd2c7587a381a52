"""The clock that moves only when told."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from testkit import FakeClock


async def test_time_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock()
    before = (clock.now(), clock.monotonic())
    await asyncio.sleep(0)

    assert (clock.now(), clock.monotonic()) == before


async def test_advancing_moves_both_times_by_the_same_span() -> None:
    clock = FakeClock()
    now, monotonic = clock.now(), clock.monotonic()
    await clock.advance(90)

    assert clock.now() - now == timedelta(seconds=90)
    assert clock.monotonic() - monotonic == 90


async def test_a_sleeper_wakes_at_its_time_and_not_before() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.advance(9)
    assert not sleeper.done()
    await clock.advance(1)
    await sleeper


async def test_sleepers_wake_in_the_order_of_their_times_and_see_those_times() -> None:
    clock = FakeClock()
    start = clock.monotonic()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic() - start))

    tasks = [asyncio.create_task(sleep("late", 20)), asyncio.create_task(sleep("early", 5))]
    await clock.advance(60)
    await asyncio.gather(*tasks)
    assert woken == [("early", 5), ("late", 20)]


async def test_a_loop_that_sleeps_again_and_again_runs_once_per_period() -> None:
    clock = FakeClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(10)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await clock.advance(35)
    task.cancel()
    assert len(ticks) == 3


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.advance(1)
    assert clock.sleepers == 1
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)
    assert clock.sleepers == 0
    await clock.advance(60)


async def test_setting_the_wall_clock_wakes_nobody() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.advance(0)
    clock.set(datetime(2050, 1, 1, tzinfo=UTC))
    await asyncio.sleep(0)
    assert not sleeper.done()
    assert clock.now().year == 2050
    sleeper.cancel()


async def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        FakeClock().set(datetime(2050, 1, 1))


async def test_time_never_goes_back() -> None:
    with pytest.raises(ValueError, match="negative"):
        await FakeClock().advance(-1)
