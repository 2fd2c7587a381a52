"""The bound of what a schema costs holds for schemas and values that are made to take long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from workflow_schemas import CompiledSchema, TooCostlyError, cost_of
from workflow_schemas.limits import MAX_FAULTS, MAX_PROBLEM_CHARACTERS, MAX_SCHEMA_CHECKS, MAX_VIOLATIONS

MAX_CPU_SECONDS = 1.0
"""A quick check takes at most 0.03 s of an idle processor; the processor of a test may be slow."""

TEXT = "abbabaabbbabababbaababbabbbaabab"
SCHEMAS: dict[str, tuple[dict[str, Any], Callable[[int], Any]]] = {
    "an enum of objects": ({"enum": [{"k": i} for i in range(2000)]}, lambda n: [{"k": 1999}] * n),
    "an enum of lists": ({"enum": [[i] for i in range(2000)]}, lambda n: [[1999]] * n),
    "an enum of mixed values": ({"enum": [*range(5000), "a"]}, lambda n: [4999] * n),
    "an enum of large objects": (
        {"enum": [{"k": [1] * 50 + [i]} for i in range(50)]},
        lambda n: [{"k": 1}] * n,
    ),
    "constants that are objects": (
        {"anyOf": [{"const": {"a": i}} for i in range(300)]},
        lambda n: [{"a": 299}] * n,
    ),
    "500 checks of each value": ({"allOf": [{"minimum": 0}] * 500}, lambda n: [1] * n),
    "alternatives": (
        {"oneOf": [{"required": ["k"], "properties": {"k": {"const": i}}} for i in range(250)]},
        lambda n: [{"k": 249}] * n,
    ),
    "what depends on keys": (
        {"dependentRequired": {f"a{i}": ["x", "y", "z"] for i in range(900)}},
        lambda n: [{}] * n,
    ),
    "schemas that depend on keys": (
        {"dependentSchemas": {f"a{i}": {} for i in range(500)}},
        lambda n: [{}] * n,
    ),
    "many patterns of keys": (
        {"patternProperties": {f"[ab]*a[ab]{{20}}{i}": {} for i in range(90)}},
        lambda n: [{TEXT: 1}] * n,
    ),
    "a pattern that remembers 700 characters": (
        {"pattern": "[ab]*a[ab]{700}c"},
        lambda n: ["".join(TEXT[i * i % 31 :] + TEXT[: i % 29] for i in range(40))] * n,
    ),
    "fractions": ({"multipleOf": 1e-300}, lambda n: [1e308] * n),
    "unique items": ({"uniqueItems": True}, lambda n: [[{"a": [i]} for i in range(15)]] * n),
    "many properties": (
        {"properties": {f"a{i}": {"type": "integer"} for i in range(900)}},
        lambda n: [{}] * n,
    ),
    "properties that are evaluated": (
        {"unevaluatedProperties": False, "anyOf": [{"properties": {f"a{i}": {}}} for i in range(100)]},
        lambda n: [{f"a{i}": 1 for i in range(100)}] * n,
    ),
}


def longest_quick(schema: CompiledSchema, value: Callable[[int], Any]) -> Any:
    """The longest list of values for which the check is called quick."""
    count = 1
    while schema.is_quick(len(json.dumps(value(count * 2)))) and count < 400_000:
        count *= 2
    return value(count)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_check_that_is_called_quick_is_quick(name: str) -> None:
    item, value = SCHEMAS[name]
    schema = CompiledSchema({"items": item})
    checked = longest_quick(schema, value)
    began = time.process_time()
    schema.fits(checked)

    assert time.process_time() - began < MAX_CPU_SECONDS


def test_twice_as_many_items_that_are_looked_at_again_for_each_item_cost_four_times_as_much() -> None:
    again = cost_of({"unevaluatedItems": False, "anyOf": [{"contains": {"const": 1}}]})
    assert again.steps(2_000) == 4 * again.steps(1_000)
    once = cost_of({"anyOf": [{"contains": {"const": 1}}]})

    assert once.steps(2_000) == 2 * once.steps(1_000)


@pytest.mark.parametrize(
    "name", ["an enum of objects", "an enum of mixed values", "500 checks of each value"]
)
def test_a_bomb_is_not_called_quick(name: str) -> None:
    item, value = SCHEMAS[name]
    assert not CompiledSchema({"items": item}).is_quick(len(json.dumps(value(5000))))


def test_a_usual_schema_is_checked_and_described_at_once() -> None:
    order = {
        "type": "object",
        "required": ["order"],
        "properties": {
            "order": {"type": "object", "properties": {"id": {"type": "string", "maxLength": 50}}}
        },
    }

    schema = CompiledSchema(order)

    assert schema.is_quick(50_000)
    assert schema.describes_quickly(500)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"allOf": [{"maxItems": 1}] * 500}, [0] * 2000),
        ({"items": {"required": [f"a{i}" for i in range(2000)]}}, [{}] * 500),
        ({"items": {"type": "string"}}, list(range(100_000))),
    ],
    ids=["many rules", "many fields", "many items"],
)
def test_a_value_that_may_have_very_many_violations_is_told_the_first_one(schema: Any, value: Any) -> None:
    """The validator makes all of them first, and each has a copy of the value."""
    compiled = CompiledSchema(schema)
    size = len(json.dumps(value))
    assert cost_of(schema).faults(size) > MAX_FAULTS
    assert not compiled.describes_quickly(size)
    began = time.process_time()

    assert len(compiled.violations(value, size, "input")) == 1
    assert time.process_time() - began < MAX_CPU_SECONDS


def test_a_small_value_is_told_its_first_violations() -> None:
    found = CompiledSchema({"items": {"type": "string"}}).violations(list(range(100)), 400, "input")
    assert [where for where, _, _ in found] == [f"input[{i}]" for i in range(MAX_VIOLATIONS)]


def test_no_text_of_a_violation_is_long() -> None:
    schema = CompiledSchema({"additionalProperties": {"maxLength": 1}})
    ((where, what, rule),) = schema.violations({"k" * 9000: "v" * 9000}, 18_000, "input")

    assert max(map(len, (where, what, rule))) <= MAX_PROBLEM_CHARACTERS + 10
    assert what.endswith("is longer than 1 character")


def test_parts_that_multiply_have_no_bound() -> None:
    links = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(12)}
    with pytest.raises(TooCostlyError, match=f"over {MAX_SCHEMA_CHECKS} times"):
        cost_of({"$defs": {**links, "a12": {}}, "$ref": "#/$defs/a0"})
