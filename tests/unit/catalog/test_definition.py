"""Definitions as they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import DefinitionTooLargeError, DefinitionUnstorableError

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    """The same JSON with the keys of its objects in another order."""
    if isinstance(value, dict):
        return {key: shuffled(each) for key, each in reversed(value.items())}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(st.dictionaries(texts, values, max_size=5))
def test_equal_definitions_have_equal_texts_and_hashes(value: dict[str, Any]) -> None:
    definition = Definition.from_json(value)

    assert definition.value == value
    assert Definition.from_json(shuffled(value)) == definition
    assert Definition.from_json(json.loads(definition.text)) == definition


@given(st.dictionaries(texts, values, max_size=5), st.dictionaries(texts, values, max_size=5))
def test_different_definitions_have_different_hashes(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (Definition.from_json(one).content_hash == Definition.from_json(other).content_hash) == same


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"description": "a\0b"}, "description", "NUL character: remove it"),
        ({"tasks": [{"input": {"a": ["x", "\ud800"]}}]}, "tasks[0].input.a[1]", "surrogate pair"),
        ({"tasks": [{"input": {"a\0": 1}}]}, "tasks[0].input", "has a key that contains a NUL"),
        ({"output": float("inf")}, "output", "is Infinity, which JSON does not have"),
        ({"output": float("nan")}, "output", "is NaN, which JSON does not have"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, field: str, message: str) -> None:
    with pytest.raises(DefinitionUnstorableError, match=message) as caught:
        Definition.from_json(value)
    assert caught.value.problem.field == field


def test_a_definition_of_33_levels_is_refused() -> None:
    value: Any = "leaf"
    for _ in range(33):
        value = {"a": value}

    with pytest.raises(DefinitionUnstorableError, match="nested over 32 levels: make it flatter"):
        Definition.from_json(value)
    assert Definition.from_json(value["a"])


def test_a_definition_over_one_mebibyte_is_refused() -> None:
    room = 1024 * 1024 - len('{"description":""}')

    assert Definition.from_json({"description": "x" * room})
    with pytest.raises(
        DefinitionTooLargeError, match="at most 1,048,576 are allowed: move large constants"
    ) as caught:
        Definition.from_json({"description": "x" * (room + 1)})
    assert caught.value.size_bytes == 1024 * 1024 + 1


def test_the_size_is_that_of_utf8() -> None:
    with pytest.raises(DefinitionTooLargeError):
        Definition.from_json({"description": "€" * 400_000})


OLD = Definition.from_json(
    {"description": "old", "labels": {"a": "1"}, "defaults": {"queue": "slow", "timeouts": {}}}
)


@pytest.mark.parametrize(
    ("paths", "new", "expected"),
    [
        (["description"], {"description": "new"}, {**OLD.value, "description": "new"}),
        (["description"], {}, {"labels": {"a": "1"}, "defaults": OLD.value["defaults"]}),
        (["labels"], {"labels": {"b": "2"}, "description": "unseen"}, {**OLD.value, "labels": {"b": "2"}}),
        (
            ["defaults.queue"],
            {"defaults": {"queue": "fast"}},
            {**OLD.value, "defaults": {"queue": "fast", "timeouts": {}}},
        ),
        (["defaults.queue"], {}, {**OLD.value, "defaults": {"timeouts": {}}}),
        (["output"], {"output": None}, {**OLD.value, "output": None}),
        (["output.x"], {}, OLD.value),
    ],
)
def test_a_mask_replaces_the_fields_that_it_names(paths: list[str], new: Any, expected: Any) -> None:
    assert OLD.with_fields_of(new, paths).value == expected
