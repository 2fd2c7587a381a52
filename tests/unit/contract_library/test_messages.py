"""Times and spans between Python and the messages of the contract."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from workflow_contract.messages import duration, span_of, time_of, timestamp

times = st.datetimes(timezones=st.just(UTC))
spans = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3_650_000))


@given(times)
def test_a_time_survives_the_way_through_a_message(time: datetime) -> None:
    message = timestamp(time)

    assert message.ToDatetime(UTC) == time
    assert time_of(message) == time


@given(spans)
def test_a_span_survives_the_way_through_a_message(span: timedelta) -> None:
    message = duration(span)

    assert message.ToTimedelta() == span
    assert span_of(message) == span


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    noon = datetime(2026, 11, 28, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert timestamp(noon) == timestamp(noon.astimezone(UTC))


def test_no_time_is_no_message() -> None:
    assert timestamp(None) is None


def test_what_is_finer_than_a_microsecond_is_cut() -> None:
    assert time_of(Timestamp(seconds=1, nanos=1_999)) == datetime(1970, 1, 1, 0, 0, 1, 1, UTC)
    assert span_of(Duration(seconds=1, nanos=1_999)) == timedelta(seconds=1, microseconds=1)


def test_a_time_after_the_year_9999_is_refused() -> None:
    with pytest.raises(OverflowError):
        time_of(Timestamp(seconds=253_402_300_800))
