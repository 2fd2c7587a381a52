"""Which inputs a new schema refuses that the old one took."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workflow_catalog.domain.comparison.acceptance import narrowings


def of_a(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, **more}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        (None, {"type": "object"}),
        (of_a({"type": "string"}), None),
        (of_a({"type": "integer"}), of_a({"type": "number"})),
        (of_a({"type": "integer"}), of_a({"type": ["integer", "null"]})),
        (of_a({"type": "integer", "minimum": 3}), of_a({"type": "integer", "minimum": 2})),
        (of_a({"enum": ["x"]}), of_a({"enum": ["y", "x"]})),
        (of_a({"const": 3}), of_a({"type": "integer"})),
        (of_a({"type": "boolean"}), of_a({"enum": [True, False, None]})),
        (of_a({}, required=["a", "b"]), of_a({}, required=["a"])),
        (
            of_a({}, additionalProperties=False),
            {"additionalProperties": False, "properties": {"a": {}, "b": {}}},
        ),
        (of_a({}, additionalProperties=False), of_a({}, required=[])),
        (of_a({"type": "array", "items": {"type": "integer"}}), of_a({"items": {"type": "number"}})),
        (of_a({"maxLength": 3}), of_a({"maxLength": 4, "title": "A", "default": "x"})),
        (of_a({"type": "integer", "multipleOf": 6}), of_a({"multipleOf": 3})),
        (of_a({"anyOf": [{"type": "string"}]}), of_a({"anyOf": [{"type": "null"}, {"type": "string"}]})),
        (of_a({"type": "string"}), of_a({"anyOf": [{"type": "null"}, {"type": "string"}]})),
        (
            {"$defs": {"d": {"type": "integer"}}, **of_a({"$ref": "#/$defs/d"})},
            {"$defs": {"e": {"type": "number"}}, **of_a({"$ref": "#/$defs/e"})},
        ),
        (
            {"$ref": "#/$defs/n", "$defs": {"n": of_a({"$ref": "#/$defs/n"})}},
            {"$ref": "#/$defs/n", "$defs": {"n": of_a({"$ref": "#/$defs/n"}, title="x")}},
        ),
        (of_a({"oneOf": [{"type": "string"}]}), of_a({"oneOf": [{"type": "string"}]})),
    ],
)
def test_a_schema_that_takes_as_much_is_no_narrowing(old: Any, new: Any) -> None:
    assert narrowings(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (None, {"required": ["a"]}, "the input must have `a` now"),
        (None, of_a({"type": "string"}), "`a` may not be `array` or `boolean`"),
        (of_a({"type": "number"}), of_a({"type": "integer"}), "`a` may not be `number` any more"),
        (of_a({"type": "integer"}), of_a({"type": "integer", "minimum": 1}), "`a` may not be less than 1"),
        (of_a({"type": "number", "maximum": 9}), of_a({"exclusiveMaximum": 9}), "`a` may not be more than 9"),
        (of_a({"enum": ["x", "y"]}), of_a({"enum": ["x"]}), '`a` may not be "y" any more'),
        (of_a({"type": "string"}), of_a({"enum": ["x"]}), '`a` may only be one of "x" now'),
        (of_a({}), of_a({}, additionalProperties=False), "keys of the input that are not named"),
        (
            of_a({}, additionalProperties=False),
            {"additionalProperties": False},
            "`a` is not accepted any more",
        ),
        (of_a({}), of_a(False), "`a` is not accepted any more"),
        (of_a({"type": "string"}), of_a({"type": "string", "pattern": "^x"}), "must match the pattern '^x'"),
        (
            of_a({"type": "string"}),
            of_a({"type": "string", "minLength": 1}),
            "`a` must have a size of at least 1",
        ),
        (of_a({"type": "array"}), of_a({"type": "array", "uniqueItems": True}), "not have an element twice"),
        (of_a({"type": "array"}), of_a({"items": {"type": "string"}}), "`a.*` may not be"),
        (of_a({"type": "integer"}), of_a({"multipleOf": 2}), "a multiple of 2"),
        (of_a({"type": "string"}), of_a({"maxLength": 9}), "a size of at most 9"),
        (of_a({"type": "array", "maxItems": 9}), of_a({"maxItems": 8}), "a size of at most 8"),
        (
            of_a({"type": "number", "minimum": 3, "exclusiveMinimum": 1}),
            of_a({"type": "number", "minimum": 1, "exclusiveMinimum": 4}),
            "`a` may not be less than 4",
        ),
        (of_a({}), of_a({"not": {"const": 1}}), "`not` of `a` has changed"),
        (of_a({"type": "string"}), of_a({"anyOf": [{"type": "null"}]}), "`anyOf` of `a` has changed"),
        (None, {"allOf": [{"required": ["a"]}]}, "must have `a`"),
        (
            {"$defs": {"d": {"type": "number"}}, **of_a({"$ref": "#/$defs/d"})},
            {"$defs": {"d": {"type": "integer"}}, **of_a({"$ref": "#/$defs/d"})},
            "`a` may not be `number`",
        ),
        (
            {"$defs": {"d": {"type": "string"}}, **of_a({"$ref": "#/$defs/d"})},
            {"$defs": {"d": {"type": "string"}}, **of_a({"$ref": "#/$defs/d", "minLength": 2})},
            "a size of at least 2",
        ),
        (of_a({}), {"patternProperties": {"^a": {"type": "string"}}}, "keys of the input like '^a'"),
        (
            {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
            of_a({"type": "integer"}),
            "`a` may not be",
        ),
        (
            {"$defs": {"d": {"required": []}}, "allOf": [{"$ref": "#/$defs/d"}]},
            {"$defs": {"d": {"required": ["a"]}}, "allOf": [{"$ref": "#/$defs/d"}]},
            "must have `a` now",
        ),
        (
            {"additionalProperties": {"type": "number"}},
            {"additionalProperties": {"type": "integer"}},
            "may not be `number` any more",
        ),
    ],
)
def test_a_schema_that_takes_less_is_told_with_the_reason(old: Any, new: Any, reason: str) -> None:
    assert any(reason in each.reason for each in narrowings(old, new)), narrowings(old, new)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.5])
    | st.sampled_from(["", "x", "yy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
RULES = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])
    | st.just(["string", "null"]),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "minimum": st.integers(-2, 2),
    "exclusiveMinimum": st.integers(-2, 2),
    "maximum": st.integers(-2, 2),
    "exclusiveMaximum": st.integers(-2, 2),
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(0, 2),
    "pattern": st.sampled_from(["x", "^y"]),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "uniqueItems": st.booleans(),
    "minProperties": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
    "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
}


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from("abc")
    composed = {
        "properties": st.dictionaries(keys, inner, max_size=2),
        "additionalProperties": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["a", "b|c"]), inner, max_size=1),
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "contains": inner,
        "propertyNames": inner,
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "oneOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
        "$ref": st.sampled_from(["#/$defs/d", "#/$defs/e"]),
    }
    return st.fixed_dictionaries({}, optional={**RULES, **composed}) | st.booleans()


def some(mapping: dict[str, Any]) -> dict[str, Any]:
    """At most three of the keywords: schemas of all of them accept nothing."""
    return dict(list(mapping.items())[:3])


SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional=RULES).map(some) | st.booleans(),
    lambda inner: schemas(inner).map(lambda each: some(each) if isinstance(each, dict) else each),
    max_leaves=4,
)
PLAIN = st.fixed_dictionaries({}, optional=RULES).map(some)


@settings(max_examples=400)
@given(st.data())
def test_a_change_that_is_not_major_refuses_no_input_that_the_old_schema_accepts(data: st.DataObject) -> None:
    """Against a validator, on random schemas and inputs; half of the new ones are close to the old ones."""

    def rooted(label: str) -> dict[str, Any]:
        properties = data.draw(
            st.dictionaries(st.sampled_from("abc"), SCHEMAS, min_size=1, max_size=2), label
        )
        return {"properties": properties, "$defs": {"d": data.draw(PLAIN), "e": data.draw(PLAIN)}}

    old = rooted("old")
    new = rooted("new")
    if data.draw(st.booleans()):
        new = {**old, "properties": {**old["properties"], **dict(list(new["properties"].items())[:1])}}
    if narrowings(old, new):
        return
    before, after = jsonschema_rs.Draft202012Validator(old), jsonschema_rs.Draft202012Validator(new)
    for _ in range(20):
        value = data.draw(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
        if before.is_valid(value):
            assert after.is_valid(value), value
