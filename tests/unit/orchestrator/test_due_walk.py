"""A walk along the timers never reads again what is over, and finds in the end what came late."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from execution_orchestrator.application.ports.upkeep_store import EARLIEST, DuePage, DueRow, Place
from execution_orchestrator.application.upkeep.due_walk import (
    FULL_WALK_SECONDS,
    LAG,
    MAX_PAUSES,
    DueWalk,
    Pauses,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row(number: int, wake_time: datetime = NOW) -> DueRow:
    return DueRow(Place(wake_time, UUID(int=number), "only"), False)


def walk() -> DueWalk:
    return DueWalk(uniform=lambda low, high: 1.0)


def test_the_first_walk_begins_at_the_beginning_and_the_next_one_a_little_behind_the_first() -> None:
    walked = walk()

    assert walked.begin(0.0, from_mark=True).wake_time == EARLIEST
    assert not walked.saw(DuePage(NOW, []), 3)
    assert walked.begin(0.2, from_mark=True).wake_time == NOW - LAG


def test_a_walk_goes_on_behind_a_full_page_and_marks_when_it_began() -> None:
    walked = walk()
    walked.begin(0.0, from_mark=True)
    rows = [row(number) for number in range(3)]

    assert walked.saw(DuePage(NOW, rows), 3)
    assert walked.begin(0.1, from_mark=True) == rows[-1].place
    assert not walked.saw(DuePage(NOW + 9 * SECOND, [row(4)]), 3)
    assert walked.begin(0.2, from_mark=True).wake_time == NOW - LAG


def test_now_and_then_a_walk_begins_at_the_beginning() -> None:
    walked = walk()
    starts = []
    for at in (0.0, 1.0, FULL_WALK_SECONDS, FULL_WALK_SECONDS + 1):
        starts.append(walked.begin(at, from_mark=True).wake_time)
        walked.saw(DuePage(NOW, []), 3)

    assert starts == [EARLIEST, NOW - LAG, EARLIEST, NOW - LAG]


def test_while_rows_may_be_held_back_every_walk_begins_at_the_beginning() -> None:
    walked = walk()
    for at in (0.0, 1.0):
        assert walked.begin(at, from_mark=False).wake_time == EARLIEST
        walked.saw(DuePage(NOW, []), 3)


def test_a_clock_that_goes_back_in_a_walk_makes_the_next_one_begin_at_the_beginning() -> None:
    walked = walk()
    walked.begin(0.0, from_mark=True)
    walked.saw(DuePage(NOW, [row(1)]), 1)
    walked.saw(DuePage(NOW - SECOND, []), 1)

    assert walked.begin(0.1, from_mark=True).wake_time == EARLIEST


def test_a_clock_that_goes_back_between_walks_moves_the_mark_back_with_it() -> None:
    walked = walk()
    walked.begin(0.0, from_mark=True)
    walked.saw(DuePage(NOW, []), 1)
    walked.begin(0.1, from_mark=True)
    walked.saw(DuePage(NOW - 60 * SECOND, []), 1)

    assert walked.begin(0.2, from_mark=True).wake_time == NOW - 60 * SECOND - LAG


def test_the_pause_of_a_row_doubles_up_to_a_limit() -> None:
    pauses = Pauses()
    at, waits = 0.0, []

    for _ in range(12):
        pauses.note(row(1), at, again=True)
        assert not list(pauses.over(at, 10))
        step = 0.5
        while not list(pauses.over(at + step, 10)):
            step += 0.5
        waits.append(step)
        at += step

    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 300.0


def test_a_pause_that_does_not_grow_stays_at_a_second() -> None:
    pauses = Pauses()
    for at in (0.0, 1.0, 2.0):
        pauses.note(row(1), at, again=True, grows=False)
        assert not pauses.covers(row(1), at + 1.0)
        assert list(pauses.over(at + 1.0, 10)) == [row(1)]


def test_a_pause_covers_the_row_with_its_time_only() -> None:
    pauses = Pauses()
    pauses.note(row(1), 0.0, again=False)

    assert pauses.covers(row(1), 0.9)
    assert not pauses.covers(row(1), 1.0)
    assert not pauses.covers(row(1, NOW + SECOND), 0.9)
    assert not pauses.covers(row(2), 0.9)
    assert not list(pauses.over(5.0, 10))  # nothing is to be woken again


def test_what_succeeded_is_not_woken_again() -> None:
    pauses = Pauses()
    pauses.note(row(1), 0.0, again=True)
    pauses.forget(row(1))

    assert not pauses.covers(row(1), 0.5)
    assert not list(pauses.over(5.0, 10))


def test_as_many_rows_come_back_at_a_time_as_are_asked_for() -> None:
    pauses = Pauses()
    for number in range(5):
        pauses.note(row(number), 0.0, again=True)

    assert [len(list(pauses.over(1.0, 2))) for _ in range(4)] == [2, 2, 1, 0]


def test_pauses_have_a_limit_and_the_oldest_are_forgotten() -> None:
    pauses = Pauses()
    for number in range(MAX_PAUSES + 2):
        pauses.note(row(number), 0.0, again=True)

    assert len(pauses) == MAX_PAUSES
    assert not pauses.covers(row(0), 0.5)
    assert pauses.covers(row(2), 0.5)
