"""How many workers a queue needs."""

import pytest
from embedded_stack.autoscaling import COOLDOWN_SECONDS, Autoscaler

SCALER = Autoscaler(minimum=2, maximum=10, jobs_per_worker=100)


@pytest.mark.parametrize(
    ("queue_length", "workers"),
    [(1, 2), (200, 2), (201, 3), (350, 4), (1_000, 10), (1_000_000, 10)],
)
def test_the_queue_decides_between_the_minimum_and_the_maximum(queue_length: int, workers: int) -> None:
    assert SCALER.decide(2, queue_length, now=0)[0] == workers


def test_a_shorter_queue_takes_no_worker_away() -> None:
    assert SCALER.decide(7, queue_length=150, now=0)[0] == 7


def test_an_empty_queue_takes_workers_away_only_after_the_cooldown() -> None:
    workers, scaler = SCALER.decide(7, queue_length=0, now=100)
    assert workers == 7
    workers, scaler = scaler.decide(7, queue_length=0, now=100 + COOLDOWN_SECONDS - 1)
    assert workers == 7
    workers, _ = scaler.decide(7, queue_length=0, now=100 + COOLDOWN_SECONDS)

    assert workers == 2


def test_a_job_in_between_starts_the_cooldown_anew() -> None:
    _, scaler = SCALER.decide(7, queue_length=0, now=0)
    _, scaler = scaler.decide(7, queue_length=1, now=30)
    workers, scaler = scaler.decide(7, queue_length=0, now=31)

    assert scaler.decide(workers, queue_length=0, now=COOLDOWN_SECONDS + 1)[0] == 7


def test_missing_workers_are_brought_back_to_the_minimum() -> None:
    assert SCALER.decide(1, queue_length=0, now=0)[0] == 2


def test_there_may_be_no_worker_while_there_is_no_job() -> None:
    scaler = Autoscaler(minimum=0, maximum=3, jobs_per_worker=100)

    assert scaler.decide(0, queue_length=0, now=0)[0] == 0
    assert scaler.decide(0, queue_length=1, now=0)[0] == 1
