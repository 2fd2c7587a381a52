import math
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from workflow_contract.payloads import may_be_rounded
from workflow_sdk.payloads import PayloadError, check_labels, from_json, to_json
from workflow_sdk.values import from_struct, from_value, to_struct, to_value

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False).map(
    lambda number: number * 1e10 if may_be_rounded(number) else number
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=15,
)


@given(json_values)
def test_every_json_value_survives_the_way_through_struct(value: Any) -> None:
    assert from_value(to_value(value)) == value


@given(json_values)
def test_every_json_value_survives_the_way_through_bytes(value: Any) -> None:
    assert from_json(to_json(value)) == value


@given(st.dictionaries(text, json_values))
def test_a_struct_says_what_protobufs_own_json_says(values: dict[str, Any]) -> None:
    assert json_format.ParseDict(values, struct_pb2.Struct()) == to_struct(values)


def test_integers_come_back_as_integers_and_fractions_as_floats() -> None:
    back = from_struct(to_struct({"n": 3, "f": 0.5, "big": 2**53, "neg": -7, "yes": True}))

    assert back == {"n": 3, "f": 0.5, "big": 2**53, "neg": -7, "yes": True}
    assert [type(back[key]) for key in ("n", "f", "big", "yes")] == [int, float, int, bool]


def test_large_doubles_stay_doubles() -> None:
    assert isinstance(from_value(struct_pb2.Value(number_value=1e300)), float)


def test_empty_lists_and_objects_stay_what_they_are() -> None:
    assert from_struct(to_struct({"list": [], "object": {}, "none": None})) == {
        "list": [],
        "object": {},
        "none": None,
    }


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, math.nan]}, r"input\.a\[1\] is NaN"),
        ({"a": math.inf}, r"input\.a is Infinity"),
        ({"a": {1, 2}}, r"input\.a is of type set"),
        ({"a": b"x"}, r"input\.a is of type bytes"),
        ({"a": "x\x00y"}, r"input\.a contains a NUL"),
        ({"a": "\ud800"}, r"input\.a contains half of a surrogate pair"),
        ({"\x00": 1}, r"input has a key that contains a NUL"),
        ({"a": deep(33)}, "nested over 32 levels"),
    ],
)
def test_what_can_not_be_stored_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        to_struct(value)
    with pytest.raises(PayloadError, match=message):
        to_json(value, "input")


def test_the_deepest_allowed_value_passes() -> None:
    assert from_json(to_json(deep(32))) == deep(32)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(PayloadError, match="nested over"):
        to_json(loop)


def test_text_that_only_looks_like_an_escaped_nul_passes() -> None:
    assert from_json(to_json("\\u0000")) == "\\u0000"


def test_integers_beyond_2_to_the_53_are_refused_where_they_would_become_doubles() -> None:
    with pytest.raises(PayloadError, match=r"input\.id is 9007199254740993.*as a string"):
        to_struct({"id": 2**53 + 1})


def test_keys_that_are_no_text_are_refused_in_inputs() -> None:
    with pytest.raises(PayloadError, match="has the key 1"):
        to_struct({"a": {1: "x"}})


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"id": 12345678901234567890}, r"output\.id is 12345678901234567890, beyond 2\^53.*as a string"),
        ([10**400], r"output\[0\] is 1000.*beyond 2\^53"),
        ([1 << 100_000], r"output\[0\] is an integer of 100,001 bits"),
        ({1: "a", "1": "b"}, "output has the keys 1 and '1', which are the same string"),
        ({"a": [{True: 1, "true": 2}]}, r"output\.a\[0\] has the keys True and 'true'"),
    ],
)
def test_an_output_that_would_change_or_lose_something_is_refused(output: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        to_json(output)


def test_an_output_keeps_its_doubles_and_keys_that_stay_apart() -> None:
    assert from_json(to_json({1: 1e16, 2: 2**53})) == {"1": 1e16, "2": 2**53}


def test_a_double_that_a_struct_shows_like_a_rounded_integer_is_refused_in_inputs() -> None:
    with pytest.raises(PayloadError, match=r"input\.n is 1e\+16, beyond 2\^53"):
        to_struct({"n": 1e16})
    assert from_struct(to_struct({"n": 1e21})) == {"n": 1e21}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"team": 1}, "labels.team is 1, which is no text"),
        ({1: "a"}, "labels has the key 1, which is not a string"),
        ({"team": "a\x00"}, "labels.team contains a NUL"),
        ({"team": "\udc00"}, "labels.team contains half of a surrogate pair"),
    ],
)
def test_a_label_that_is_no_text_is_refused_with_its_name(labels: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        check_labels(labels)


def test_names_come_back_in_alphabetical_order() -> None:
    """A protobuf map has no order of its own: without one, a program that prints an output would show it
    differently each time.
    """
    names = [f"n{number}" for number in range(50)]

    back = from_struct(to_struct({"outer": dict.fromkeys(reversed(names), 1)}))

    assert list(back["outer"]) == sorted(names)
