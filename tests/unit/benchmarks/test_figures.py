"""The figures that a reader is shown."""

import pytest

from benchmarks.figures import median, median_of_each, percentile, range_of, spread_ms


def test_a_percentile_is_a_value_that_was_measured():
    hundred = [float(value) for value in range(100, 0, -1)]

    assert [percentile(hundred, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]


def test_the_99th_of_two_thousand_leaves_twenty_above():
    values = [float(value) for value in range(2_000)]

    assert sum(value > percentile(values, 99) for value in values) == 20


def test_no_measurements_have_no_percentile():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_spreads_are_in_milliseconds():
    assert spread_ms([0.001, 0.002, 0.003]) == {"p50": 2.0, "p99": 3.0}


def test_rounds_are_told_by_median_and_range():
    assert (median([900.4, 1100.0, 1000.0]), range_of([900.4, 1100.0, 1000.0])) == (1000.0, [900.0, 1100.0])


def test_a_figure_that_one_round_could_not_tell_is_not_told():
    rounds = [{"commits": 1.0, "cpu": 2.0}, {"commits": 3.0, "cpu": None}, {"commits": 2.0, "cpu": 4.0}]

    assert median_of_each(rounds) == {"commits": 2.0, "cpu": None}
