"""Times and spans between Python and the messages of the contract."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from workflow_contract.messages import as_json, duration, span_of, time_of, timestamp
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

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


NAMES = [f"n{number:02}" for number in range(50)]


def scrambled() -> dict[str, Any]:
    return {name: {"b": [{"d": 1, "c": 2}], "a": None} for name in reversed(NAMES)}


def test_names_of_payloads_and_maps_come_in_alphabetical_order() -> None:
    """Protobuf keeps them in no order, so the same message would look different each time."""
    task = {"id": "only", "type": "noop", "input": scrambled()}
    labels = dict.fromkeys(reversed(NAMES), "x")
    definition = ParseDict({"labels": labels, "output": scrambled(), "tasks": [task]}, WorkflowDefinition())

    shown = as_json(definition)

    assert list(shown["labels"]) == list(shown["output"]) == list(shown["tasks"][0]["input"]) == NAMES
    assert json.dumps(shown["output"]["n00"]) == '{"a": null, "b": [{"c": 2.0, "d": 1.0}]}'


def test_fields_come_in_the_order_of_the_message_and_mean_what_protobuf_says() -> None:
    task = {"needs": ["a"], "type": "noop", "id": "only", "timeouts": {"start_to_close": "5s"}}
    definition = ParseDict({"tasks": [task], "description": "d"}, WorkflowDefinition())

    expected = MessageToDict(definition, preserving_proto_field_name=True)

    assert json.dumps(as_json(definition)) == json.dumps(expected)
    assert as_json(definition, all_fields=True)["labels"] == {}


def test_a_payload_alone_is_sorted_as_well() -> None:
    assert list(as_json(ParseDict(scrambled(), Struct()))) == NAMES
