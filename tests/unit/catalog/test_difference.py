"""What differs between two definitions, and how much each change means."""

from typing import Any

import pytest
from workflow_catalog.domain.comparison import Change, ChangeClass, ChangeKind, compare
from workflow_catalog.domain.comparison.difference import MISSING

NONE, PATCH, MINOR, MAJOR = ChangeClass.NONE, ChangeClass.PATCH, ChangeClass.MINOR, ChangeClass.MAJOR
ADDED, REMOVED, CHANGED = ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.CHANGED
CHARGE = {"id": "charge", "type": "orders.charge", "input": {"amount": "${input.amount}"}}
SHIP = {"id": "ship", "type": "orders.ship", "needs": ["charge"]}
SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
ORDERS: dict[str, Any] = {"description": "Sells", "input_schema": SCHEMA, "tasks": [CHARGE, SHIP]}


def test_equal_definitions_do_not_differ() -> None:
    assert compare(ORDERS, dict(ORDERS)).change_class is NONE


@pytest.mark.parametrize(
    ("new", "path", "kind", "change_class"),
    [
        ({"description": "Buys"}, "description", CHANGED, PATCH),
        ({"owner": "a"}, "owner", ADDED, PATCH),
        ({"labels": {"a": "b"}}, "labels", ADDED, PATCH),
        ({"execution_timeout": "9s"}, "execution_timeout", ADDED, PATCH),
        ({"defaults": {"queue": "q"}}, "defaults", ADDED, PATCH),
        ({"output": 1}, "output", ADDED, MINOR),
        ({"tasks": [CHARGE]}, "tasks[ship]", REMOVED, MINOR),
        ({"tasks": [CHARGE, SHIP, {"id": "mail", "type": "m"}]}, "tasks[mail]", ADDED, MINOR),
        ({"tasks": [{**CHARGE, "type": "x"}, SHIP]}, "tasks[charge].type", CHANGED, MINOR),
        ({"tasks": [{**CHARGE, "input": {"amount": 1}}, SHIP]}, "tasks[charge].input.amount", CHANGED, MINOR),
        ({"tasks": [{**CHARGE, "queue": "q"}, SHIP]}, "tasks[charge].queue", ADDED, PATCH),
        (
            {"tasks": [{**CHARGE, "retry_policy": {"jitter": 0}}, SHIP]},
            "tasks[charge].retry_policy",
            ADDED,
            PATCH,
        ),
        ({"tasks": [SHIP, CHARGE]}, "tasks", CHANGED, PATCH),
        ({"input_schema": {**SCHEMA, "required": []}}, "input_schema.required", CHANGED, MINOR),
        ({"input_schema": {**SCHEMA, "title": "In"}}, "input_schema.title", ADDED, PATCH),
        (
            {"input_schema": {**SCHEMA, "required": ["amount", "sku"]}},
            "input_schema.required",
            CHANGED,
            MAJOR,
        ),
        (
            {"input_schema": {**SCHEMA, "properties": {"amount": {"type": "integer"}}}},
            "input_schema.properties.amount.type",
            CHANGED,
            MAJOR,
        ),
    ],
)
def test_a_change_has_a_path_a_kind_and_a_class(
    new: dict[str, Any], path: str, kind: ChangeKind, change_class: ChangeClass
) -> None:
    difference = compare(ORDERS, {**ORDERS, **new})
    (change,) = difference.changes

    assert (change.path, change.kind, change.change_class) == (path, kind, change_class)
    assert difference.change_class is change_class
    assert bool(change.reason) == (change_class is MAJOR)


def test_a_property_called_title_is_no_title() -> None:
    named = {**SCHEMA, "properties": {**SCHEMA["properties"], "title": {"type": "string"}}}
    (change,) = compare(ORDERS, {**ORDERS, "input_schema": named}).changes
    assert change.change_class is MAJOR  # any value was accepted there
    anything = {**SCHEMA, "properties": {**SCHEMA["properties"], "title": {}}}
    (change,) = compare(ORDERS, {**ORDERS, "input_schema": anything}).changes

    assert change.change_class is MINOR


def test_a_schema_where_there_was_none_takes_less() -> None:
    without = {name: value for name, value in ORDERS.items() if name != "input_schema"}
    (change,) = compare(without, ORDERS).changes
    assert (change.path, change.change_class) == ("input_schema", MAJOR)
    assert "must have `amount`" in change.reason
    (back,) = compare(ORDERS, without).changes

    assert (back.kind, back.change_class) == (REMOVED, MINOR)


def test_a_part_that_others_refer_to_is_told_where_it_changed() -> None:
    def with_part(kind: str) -> dict[str, Any]:
        parts = {"$defs": {"sum": {"type": kind}}, "properties": {"amount": {"$ref": "#/$defs/sum"}}}
        return {**ORDERS, "input_schema": parts}

    difference = compare(with_part("number"), with_part("integer"))
    assert difference.change_class is MAJOR
    assert {change.path for change in difference.changes} == {
        "input_schema.$defs.sum.type",
        "input_schema.properties.amount",
    }


def test_a_change_to_an_invalid_schema_is_major() -> None:
    (change,) = compare(ORDERS, {**ORDERS, "input_schema": {**SCHEMA, "required": 5}}).changes

    assert change.change_class is MAJOR
    assert "not valid" in change.reason


def test_values_are_told_unless_they_are_large() -> None:
    (change,) = compare(ORDERS, {**ORDERS, "description": "x" * 5000}).changes
    assert change == Change("description", CHANGED, PATCH, "Sells", MISSING)


def test_tasks_without_ids_are_compared_by_their_place() -> None:
    (change,) = compare({"tasks": [{"type": "a"}]}, {"tasks": [{"type": "b"}]}).changes
    assert change.path == "tasks[0].type"


def test_true_is_not_one() -> None:
    (change,) = compare({"tasks": [], "output": 1}, {"tasks": [], "output": True}).changes
    assert change.path == "output"
