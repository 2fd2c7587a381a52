"""What feeds keep in memory has one limit for all, and one for each."""

from workflow_gateway.watch.kept import Budget, KeptEvents, KeptLimits
from workflow_gateway.watch.messages import EventMessage


def event(sequence: int, size: int = 10) -> EventMessage:
    return EventMessage(b"x" * size, sequence, False, 0.0)


def filled(budget: Budget, count: int) -> KeptEvents:
    events = KeptEvents(budget)
    for sequence in range(1, count + 1):
        events.append(event(sequence))
    return events


def test_the_feed_that_is_quiet_for_longest_forgets_when_all_together_are_too_large() -> None:
    budget = Budget(max_bytes=100)
    quiet, busy = filled(budget, 4), filled(budget, 4)
    quiet.append(event(5))
    quiet.append(event(6))
    assert (len(quiet), len(busy), budget.kept_bytes) == (6, 4, 100)
    quiet.append(event(7))
    assert (len(quiet), len(busy), budget.kept_bytes) == (7, 0, 70)

    busy.append(event(5))

    assert busy.first == 5


def test_an_event_larger_than_the_limit_of_all_is_not_kept() -> None:
    budget = Budget(max_bytes=100)
    events = KeptEvents(budget)
    events.append(event(1, size=101))

    assert (len(events), budget.kept_bytes) == (0, 0)


def test_a_feed_keeps_its_latest_events() -> None:
    budget = Budget(of_each=KeptLimits(events=3))
    events = filled(budget, 5)

    assert (events.first, len(events), budget.kept_bytes) == (3, 3, 30)


def test_a_feed_keeps_as_many_of_its_latest_events_as_fit_into_its_bytes() -> None:
    budget = Budget(of_each=KeptLimits(bytes=25))
    events = filled(budget, 5)
    assert (events.first, len(events), budget.kept_bytes) == (4, 2, 20)
    events.append(event(6))

    assert (events.first, len(events), budget.kept_bytes) == (5, 2, 20)


def test_a_batch_has_a_limit_of_bytes_and_at_least_one_event() -> None:
    events = filled(Budget(of_each=KeptLimits(batch_bytes=25)), 9)
    assert [each.sequence for each in events.batch_after(2)] == [3, 4, 5]
    events = filled(Budget(of_each=KeptLimits(batch_bytes=1)), 9)

    assert [each.sequence for each in events.batch_after(8)] == [9]


def test_dropping_gives_the_bytes_back() -> None:
    budget = Budget()
    events = filled(budget, 5)
    events.drop_to(3)
    assert (events.first, budget.kept_bytes) == (4, 20)
    events.drop_to(9)

    assert (events.first, budget.kept_bytes) == (None, 0)
