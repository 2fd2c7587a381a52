"""The size of JSON as a google.protobuf.Value, counted without protobuf: it equals what protobuf counts."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from workflow_expressions.payload_size import GROWTH, MAX_WHOLE, encoded, may_exceed, size_of_value

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)
SCALARS = st.none() | st.booleans() | TEXTS | st.floats(allow_nan=False) | st.integers(-(2**60), 2**60)
JSON = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=30) | st.dictionaries(TEXTS, below, max_size=30),
    max_leaves=60,
)
NUMBERS = st.lists(st.integers() | st.floats(), min_size=20, max_size=40)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(JSON | NUMBERS)
def test_the_size_is_that_of_the_bytes(value: Any) -> None:
    assert size_of_value(value) == len(encoded(value))


@given(JSON)
def test_the_bytes_are_those_that_protobuf_writes(value: Any) -> None:
    """Protobuf reads them as the same message, which has the same size; the order of fields may differ."""
    read = Value.FromString(encoded(value))

    assert read == ParseDict(spelled_out(value), Value())
    assert read.ByteSize() == len(encoded(value))


def spelled_out(value: Any) -> Any:
    """The numbers that a double does not hold, as the texts that stand for them."""
    match value:
        case dict():
            return {key: spelled_out(each) for key, each in value.items()}
        case list():
            return [spelled_out(each) for each in value]
        case int() if abs(value) > MAX_WHOLE and not isinstance(value, bool):
            return str(value)
        case float() if abs(value) == float("inf"):
            return str(value)
        case _:
            return value


@given(JSON | NUMBERS, st.integers(0, 5_000))
def test_a_payload_that_may_not_exceed_a_size_does_not(value: Any, max_bytes: int) -> None:
    text = compact(value)
    if not may_exceed(text, max_bytes) and len(text) > 100:
        assert size_of_value(json.loads(text)) <= max_bytes


@pytest.mark.parametrize(
    "value",
    [
        [7] * 10_000,
        [[]] * 10_000,
        [{}] * 10_000,
        [None] * 10_000,
        [True] * 10_000,
        [""] * 10_000,
        [[1]] * 10_000,
        [{"": 1}] * 10_000,
        {f"{number:x}": 1 for number in range(10_000)},
    ],
    ids=lambda value: repr(value)[:12],
)
def test_nothing_grows_more_than_a_list_of_digits(value: Any) -> None:
    assert size_of_value(value) <= GROWTH * len(compact(value))


def test_only_json_is_encoded() -> None:
    for convert in (encoded, size_of_value):
        with pytest.raises(TypeError, match="tuple is not a type of JSON"):
            convert([(1, 2)])
