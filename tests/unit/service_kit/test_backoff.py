"""Waits grow up to their maximum, are jittered in full, and begin anew after a success."""

import pytest
from service_kit.tools.backoff import Backoff


def test_ceilings_double_up_to_the_maximum_and_a_reset_begins_anew() -> None:
    backoff = Backoff(first_seconds=0.1, max_seconds=0.5, uniform=lambda low, high: high)
    assert [backoff.next() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()

    assert backoff.next() == 0.1


def test_the_jitter_spans_from_nothing_to_the_ceiling() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    assert Backoff(first_seconds=1, max_seconds=2, uniform=uniform).next() == 0
    assert asked == [(0.0, 1)]


@pytest.mark.parametrize(("first", "maximum"), [(0, 1), (2, 1)])
def test_a_schedule_that_makes_no_sense_is_refused(first: float, maximum: float) -> None:
    with pytest.raises(ValueError):
        Backoff(first_seconds=first, max_seconds=maximum)
