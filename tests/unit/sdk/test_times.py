"""Times and spans: what a message cannot hold is refused with the range, and nothing is guessed."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from workflow_sdk.errors import InvalidRequestError
from workflow_sdk.times import duration, seconds, timestamp


@pytest.mark.parametrize("span", [math.nan, math.inf, -math.inf, 1e300, 315_576_000_001.0])
def test_a_span_that_no_message_holds_is_refused_with_the_range(span: float) -> None:
    with pytest.raises(ValueError, match="between -315,576,000,000 and 315,576,000,000"):
        duration(span)


@pytest.mark.parametrize("span", [0, 1.5, -1.5, 1e-9, 315_576_000_000])
def test_a_span_survives_the_way_through_its_message(span: float) -> None:
    assert seconds(duration(span)) == span


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="since must have a time zone, but is 2024-01-01T00:00:00"):
        timestamp("since", datetime(2024, 1, 1))


def test_a_time_beyond_the_years_of_a_timestamp_is_refused() -> None:
    east = timezone(timedelta(hours=14))
    with pytest.raises(InvalidRequestError, match="since must be between the years 1 and 9999"):
        timestamp("since", datetime(1, 1, 1, tzinfo=east))


@pytest.mark.parametrize("time", [datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_the_first_and_the_last_time_are_taken(time: datetime) -> None:
    message = timestamp("since", time)

    assert message is not None
    assert message.ToDatetime(tzinfo=UTC) == time
