"""Leases count as expired only while the same primary has been reached for one TTL without a break."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.application.upkeep.reachability import Reachability
from testkit.clock import FakeClock

from tests.fakes.lease_store import FakeLeaseStore

TTL = timedelta(seconds=30)
PRIMARY = "start 1, timeline 1"


@pytest.fixture
def primary() -> FakeLeaseStore:
    return FakeLeaseStore(PRIMARY)


@pytest.fixture
def reachability(primary: Any, clock: FakeClock) -> Reachability:
    return Reachability(primary, clock, TTL)


async def look_for(reachability: Reachability, clock: FakeClock, seconds: int) -> None:
    """Look once a second."""
    for _ in range(seconds):
        await clock.advance(1)
        await reachability.look()


async def test_a_process_that_has_just_started_must_wait_for_one_ttl(
    reachability: Reachability, clock: FakeClock
) -> None:
    assert not reachability.steady
    await reachability.look()
    await look_for(reachability, clock, 29)
    assert not reachability.steady
    await look_for(reachability, clock, 1)

    assert reachability.steady


@pytest.mark.parametrize(
    "broken",
    [
        StoreUnavailableError("gone"),
        None,  # the address leads to a standby
        "start 2, timeline 1",  # the server has restarted
        "start 1, timeline 2",  # a standby was promoted, and its start is no newer
    ],
)
async def test_a_break_begins_the_wait_anew(
    reachability: Reachability, primary: FakeLeaseStore, clock: FakeClock, broken: Any
) -> None:
    await look_for(reachability, clock, 31)
    assert reachability.steady
    primary.answer = broken
    await reachability.look()
    assert not reachability.steady
    if not isinstance(broken, str):
        primary.answer = PRIMARY
    await look_for(reachability, clock, 29)
    assert not reachability.steady

    await look_for(reachability, clock, 2)

    assert reachability.steady


async def test_a_primary_that_does_not_answer_for_seconds_is_a_break(
    reachability: Reachability, clock: FakeClock
) -> None:
    await look_for(reachability, clock, 31)
    await clock.advance(4.9)
    assert reachability.steady
    await clock.advance(0.2)
    assert not reachability.steady
    await reachability.look()

    assert not reachability.steady


async def test_the_loop_looks_again_and_again(reachability: Reachability, clock: FakeClock) -> None:
    running = asyncio.create_task(reachability.run())
    await clock.advance(31)
    assert reachability.steady
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
