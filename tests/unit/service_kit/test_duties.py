"""A duty that has not finished a round for too long is named."""

import pytest
from service_kit.process.duties import Duties, DutyLateError, Rounds
from testkit.clock import FakeClock


async def test_a_duty_is_late_when_its_last_round_is_too_long_ago(clock: FakeClock) -> None:
    duties, rounds = Duties(), Rounds(clock)
    duties.watch("timers", rounds, 10)
    await clock.advance(10)
    await duties.check()
    await clock.advance(1)
    with pytest.raises(DutyLateError, match="timers: no round for 11 s, 10 s allowed"):
        await duties.check()
    rounds.done()

    await duties.check()


async def test_every_duty_that_is_late_is_named_and_no_other(clock: FakeClock) -> None:
    duties = Duties()
    duties.watch("timers", Rounds(clock), 10)
    duties.watch("sweep", Rounds(clock), 20)
    duties.watch("waiters", Rounds(clock), 60)
    await clock.advance(30)

    with pytest.raises(DutyLateError) as late:
        await duties.check()
    assert [part.partition(":")[0] for part in str(late.value).split("; ")] == ["timers", "sweep"]


async def test_a_duty_has_its_whole_time_after_the_start(clock: FakeClock) -> None:
    await clock.advance(100)
    duties = Duties()
    duties.watch("timers", Rounds(clock), 10)
    await duties.check()
