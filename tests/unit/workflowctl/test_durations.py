"""Spans as people write them."""

from decimal import Decimal

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from workflowctl.durations import human, seconds, seconds_between, to_json, written


@pytest.mark.parametrize(
    ("text", "json"),
    [
        ("5m", "300s"),
        ("1h30m", "5400s"),
        ("500ms", "0.5s"),
        ("300s", "300s"),
        ("1.5s", "1.5s"),
        ("2d", "172800s"),
        ("1m0.5s", "60.5s"),
        ("100s", "100s"),
        ("0s", "0s"),
        (" 10s ", "10s"),
    ],
)
def test_a_span_becomes_the_contracts_json(text: str, json: str) -> None:
    assert to_json(text) == json


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5min", "-5s", "1m1h", "5s5s", "1e3s", "٥s", "5s\n5"])
def test_a_text_that_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        to_json(text)


@pytest.mark.parametrize("text", ["315576000001s", "999999999h", "9" * 60 + "d"])
def test_a_span_beyond_the_range_of_the_contracts_is_refused_with_the_longest(text: str) -> None:
    with pytest.raises(ValueError, match=r"longer than any duration may be \(3652500d\)"):
        to_json(text)


@pytest.mark.parametrize("text", ["0.0000000001s", "0.0001us", "1s0.00000000000001ms"])
def test_a_span_that_would_lose_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a part of a nanosecond"):
        to_json(text)


def test_the_longest_and_the_shortest_span_are_taken() -> None:
    assert to_json("315576000000.999999999s") == "315576000000.999999999s"
    assert to_json("0.001us") == "0.000000001s"


def test_a_range_is_told_with_both_ends() -> None:
    assert seconds_between("10m", "1ms", "10m") == 600.0
    assert seconds_between("1ms", "1ms", "10m") == 0.001
    for text in ("601s", "0s"):
        with pytest.raises(ValueError, match=f"must be from 1ms to 10m, but is {text}"):
            seconds_between(text, "1ms", "10m")


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_protobuf_reads_what_is_written(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds}ms"
    duration = Duration()
    duration.FromJsonString(to_json(text))

    assert Decimal(duration.ToMilliseconds()) / 1000 == seconds(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0.04, "40 ms"),
        (0.9996, "1.0 s"),
        (42.4, "42 s"),
        (303, "5 min 3 s"),
        (7_800, "2 h 10 min"),
        (-1, "0 ms"),
    ],
)
def test_a_span_is_said_in_two_units_at_most(span: float, text: str) -> None:
    assert human(span) == text


@pytest.mark.parametrize(
    ("whole_seconds", "nanos", "text"),
    [
        (0, 0, "0s"),
        (90, 0, "1m30s"),
        (7_200, 0, "2h"),
        (31_536_000, 0, "365d"),
        (90_061, 500_000_000, "1d1h1m1.5s"),
        (60, 1, "1m0.000000001s"),
        (0, 500_000_000, "500ms"),
        (0, 1_500_000, "1.5ms"),
        (0, 1, "0.001us"),
    ],
)
def test_a_span_is_written_in_as_few_units_as_are_exact(whole_seconds: int, nanos: int, text: str) -> None:
    assert written(whole_seconds, nanos) == text


@given(st.integers(0, 315_576_000_000), st.integers(0, 999_999_999))
def test_what_is_written_reads_back_exactly(whole_seconds: int, nanos: int) -> None:
    assert seconds(written(whole_seconds, nanos)) == whole_seconds + Decimal(nanos).scaleb(-9)
