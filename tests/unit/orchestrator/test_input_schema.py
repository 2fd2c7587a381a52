"""The input of a start against the schema of its version."""

import json
from typing import Any

import pytest
from execution_orchestrator.application import input_schema
from execution_orchestrator.application.input_schema import InputSchemaError, InputSchemas
from execution_orchestrator.application.json_schema import MAX_VIOLATIONS
from execution_orchestrator.application.ports_catalog import ResolvedVersion, VersionQuery
from google.protobuf import json_format
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

QUERY = VersionQuery("default", "orders", 0)
ORDER = {
    "type": "object",
    "required": ["order"],
    "properties": {
        "order": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string", "maxLength": 5}, "count": {"type": "integer"}},
        },
        "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"minimum": 1}}}},
    },
    "additionalProperties": False,
}


def version(schema: dict[str, Any] | None, number: int = 1) -> ResolvedVersion:
    definition = WorkflowDefinition()
    if schema is not None:
        json_format.ParseDict(schema, definition.input_schema)
    return ResolvedVersion("ACTIVE", number, definition.SerializeToString())


def violations(schema: dict[str, Any], value: Any) -> dict[str, str]:
    with pytest.raises(InputSchemaError) as raised:
        InputSchemas()(version(schema), QUERY, json.dumps(value))
    return dict(raised.value.violations)


def test_a_version_without_a_schema_takes_any_input() -> None:
    InputSchemas()(version(None), QUERY, '{"anything": [1]}')


def test_an_input_that_fits_is_taken() -> None:
    InputSchemas()(version(ORDER), QUERY, '{"order": {"id": "a", "count": 3}, "lines": [{"n": 1}]}')


def test_every_violation_is_named_by_its_path() -> None:
    found = violations(ORDER, {"order": {"id": "abcdef", "count": 1.5}, "lines": [{"n": 1}, {"n": 0}]})
    assert {*found} == {"input.order.id", "input.order.count", "input.lines[1].n"}
    assert "longer than 5 characters" in found["input.order.id"]


def test_a_missing_or_unknown_field_is_named_in_the_sentence() -> None:
    assert '"id" is a required property' in violations(ORDER, {"order": {}})["input.order"]
    assert "extra" in violations(ORDER, {"order": {"id": "a"}, "extra": 1})["input"]


def test_the_message_names_workflow_version_and_field() -> None:
    with pytest.raises(InputSchemaError, match=r"`orders` version 7: input\.order: .*; correct it"):
        InputSchemas()(version(ORDER, 7), QUERY, '{"order": 1}')


def test_only_the_first_violations_are_told() -> None:
    schema = {"items": {"type": "string"}, "properties": {"a": {"items": {"type": "string"}}}}
    with pytest.raises(InputSchemaError) as raised:
        InputSchemas()(version(schema), QUERY, json.dumps({"a": list(range(100))}))
    assert len(raised.value.violations) == MAX_VIOLATIONS


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/s.json", "file:///etc/hostname"])
def test_references_to_other_places_are_not_read(reference: str) -> None:
    with pytest.raises(ValueError, match="schemas of other places are not read"):
        InputSchemas()(version({"$ref": reference}), QUERY, "{}")


def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/name"}}}
    assert {*violations(schema, {"a": 1})} == {"input.a"}


def test_a_schema_is_compiled_once_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []
    plain = input_schema._compile
    monkeypatch.setattr(input_schema, "MAX_VALIDATORS", 2)
    monkeypatch.setattr(input_schema, "_compile", lambda given: compiled.append(given) or plain(given))
    schemas = InputSchemas()
    for number in (1, 1, 2, 1, 3, 1, 2):
        schemas(version(ORDER, number), QUERY, '{"order": {"id": "a"}}')
    assert len(compiled) == 4  # 1, 2, 3, and 2 again, which was used longest ago when 3 came
