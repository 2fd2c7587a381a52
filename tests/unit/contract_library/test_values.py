"""Values: each one that would change or get lost is refused with its place, and every other one is kept."""

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflow_contract.limits import MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import (
    MAX_WHOLE,
    Rules,
    ValueProblemError,
    find_problem,
    is_plain,
    may_be_rounded,
    parse,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
numbers = st.integers(-MAX_WHOLE, MAX_WHOLE) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
ESCAPED = "\\" + "u"


@given(json_values, st.booleans())
def test_a_text_of_exact_values_is_read_as_the_standard_library_reads_it(value: Any, ascii_: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_)
    assert parse(text, "output") == json.loads(text)


@given(json_values)
def test_the_quick_look_and_the_walk_agree_on_exact_values(value: Any) -> None:
    assert is_plain(value)
    assert find_problem(value, "output", Rules(text_keys=False)) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "12345678901234567890",
            "output is 12345678901234567890, beyond 2^53, where whole",
        ),
        ('{"a": [1, -9007199254740993]}', "output.a[1] is -9007199254740993, beyond 2^53"),
        ('{"a": 1e999}', "output.a is 1e999, too large for a number"),
        ("[" + "7" * 5_000 + "]", "output[0] is 7777"),
        ("[NaN]", "output[0] is NaN, which JSON does not have: send null or a string"),
        ("[-Infinity]", "output[0] is -Infinity, which JSON does not have"),
        ('{"a": {"b": 1, "b": 1}}', "output.a has the key 'b' twice: keep one of them"),
        (f'{{"a": {{"b": 1, "{ESCAPED}0062": 2}}}}', "output.a has the key 'b' twice"),
        (f'["{ESCAPED}0000"]', "output[0] contains a NUL character: remove it"),
        (f'{{"a{ESCAPED}0000": 1}}', "output has a key that contains a NUL character"),
        (f'["{ESCAPED}d800"]', "output[0] contains half of a surrogate pair: send valid Unicode"),
        (f'{{"{ESCAPED}dc00": 1}}', "output has a key that contains half of a surrogate pair"),
        ("[" * 33 + "]" * 33, "is nested over 32 levels: make it flatter"),
        ("[" * 100_000 + "]" * 100_000, "output is nested over 32 levels"),
    ],
)
def test_a_text_that_would_change_or_cannot_be_stored_is_refused_with_its_place(
    text: str, sentence: str
) -> None:
    with pytest.raises(ValueProblemError) as raised:
        parse(text, "output")
    assert sentence in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_text_that_is_no_json_is_a_decode_error() -> None:
    with pytest.raises(json.JSONDecodeError):
        parse('{"a": 1', "output")


def test_keys_that_only_look_alike_are_two_keys() -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    text = json.dumps({composed: 1, decomposed: 2}, ensure_ascii=False)

    assert parse(text, "output") == {composed: 1, decomposed: 2}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            {1: "a", "1": "b"},
            "output has the keys 1 and '1', which are the same string",
        ),
        ({"a": [{True: 1, "true": 2}]}, "output.a[0] has the keys True and 'true'"),
        ({None: 1, "null": 2}, "output has the keys None and 'null'"),
        ({1.5: 1, "1.5": 2}, "output has the keys 1.5 and '1.5'"),
        ({(1, 2): 1}, "output has the key (1, 2), which is not a string"),
    ],
)
def test_keys_that_json_writes_alike_are_refused(value: Any, sentence: str) -> None:
    problem = find_problem(value, "output", Rules(text_keys=False))

    assert problem is not None
    assert sentence in str(problem)


def test_keys_of_numbers_pass_if_they_stay_apart_and_the_entrance_takes_them() -> None:
    assert find_problem({1: 1, "2": 2}, "output", Rules(text_keys=False)) is None
    assert "which is not a string" in str(find_problem({1: 1}, "input", Rules()))


@pytest.mark.parametrize(
    ("number", "refused"),
    [
        (float(MAX_WHOLE), False),
        (MAX_WHOLE + 2.0, True),
        (-12345678901234567890.0, True),
        (1e21, False),
        (-1e300, False),
        (4503599627370497.5, False),
    ],
)
def test_a_double_of_a_struct_that_may_be_a_rounded_integer_is_refused(number: float, refused: bool) -> None:
    assert may_be_rounded(number) is refused
    assert (find_problem(number, "input", Rules(through_struct=True)) is not None) is refused
    assert find_problem(number, "output", Rules()) is None


@given(st.floats() | st.integers())
def test_a_number_that_passes_equals_its_double(number: float) -> None:
    if find_problem(number, "input", Rules(through_struct=True)) is None:
        assert float(number) == number


def test_a_value_that_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.extend([loop] * 1_000)

    assert f"nested over {MAX_PAYLOAD_DEPTH} levels" in str(find_problem(loop, "input", Rules()))


def test_long_keys_over_many_values_take_no_memory_for_their_paths() -> None:
    value = {"k" * 500_000: [0.5] * 20_000 + [math.nan]}
    tracemalloc.start()

    try:
        problem = find_problem(value, "input", Rules())
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()

    assert problem is not None
    assert len(str(problem)) < 300
