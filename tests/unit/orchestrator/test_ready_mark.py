"""A sweep begins a little before the oldest job, and now and then at the beginning."""

from datetime import UTC, datetime

from execution_orchestrator.adapters.postgres.ready_mark import EARLIEST, FULL_SWEEP_SECONDS, LAG, ReadyMark

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_sweep_begins_a_little_before_the_oldest_job_that_the_last_one_saw() -> None:
    mark = ReadyMark()
    assert mark.begin(0.0, full=False) == EARLIEST
    mark.saw(NOW)

    assert mark.begin(1.0, full=False) == NOW - LAG


def test_now_and_then_a_sweep_begins_at_the_beginning() -> None:
    mark = ReadyMark()
    starts = []
    for at in (0.0, FULL_SWEEP_SECONDS - 1, FULL_SWEEP_SECONDS, FULL_SWEEP_SECONDS + 1):
        starts.append(mark.begin(at, full=False))
        mark.saw(NOW)

    assert starts == [EARLIEST, NOW - LAG, EARLIEST, NOW - LAG]


def test_a_rebuild_of_the_queue_begins_at_the_beginning() -> None:
    mark = ReadyMark()
    mark.begin(0.0, full=False)
    mark.saw(NOW)

    assert mark.begin(1.0, full=True) == EARLIEST
