"""Duties begin again when they fail."""

import asyncio

from service_kit.process.duties import HEALTHY_SECONDS, always
from service_kit.tools.backoff import Backoff
from testkit import FakeClock, eventually


class Duty:
    """Fails as often as it is called, after a time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        await self.clock.sleep(self.seconds)
        raise RuntimeError("it broke")


async def test_the_wait_grows_while_a_duty_fails_and_is_short_again_after_it_ran_well() -> None:
    clock = FakeClock()
    duty = Duty(clock)
    ceilings: list[float] = []

    def noted(_: float, ceiling: float) -> float:
        ceilings.append(ceiling)
        return ceiling

    backoff = Backoff(first_seconds=1.0, max_seconds=8.0, uniform=noted)
    running = asyncio.create_task(always("a duty", duty, clock, backoff))
    for count, ceiling in enumerate((1.0, 2.0, 4.0, 8.0, 8.0), 1):
        await eventually(lambda count=count: len(ceilings) == count and clock.sleepers == 1)
        assert (duty.calls, ceilings[-1]) == (count, ceiling)
        duty.seconds = HEALTHY_SECONDS if count == 5 else 0.0
        await clock.advance(ceiling)
    await eventually(lambda: duty.calls == 6 and clock.sleepers == 1)
    await clock.advance(HEALTHY_SECONDS)
    await eventually(lambda: len(ceilings) == 6)
    assert ceilings[-1] == 1.0
    running.cancel()
    await asyncio.wait([running])
