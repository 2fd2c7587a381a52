"""The input of a start against the schema of its version."""

import asyncio
import json
import threading
from typing import Any

import pytest
from execution_orchestrator.application.ports.catalog import ResolvedVersion, VersionQuery
from execution_orchestrator.application.starting import input_schema
from execution_orchestrator.application.starting.input_schema import InputSchemaError, InputSchemas
from google.protobuf import json_format
from service_kit.errors import ServiceError
from testkit import eventually
from workflow_schemas.limits import MAX_VIOLATIONS
from workflow_schemas.process import SchemaProcess
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


async def violations(schema: dict[str, Any], value: Any) -> dict[str, str]:
    with pytest.raises(InputSchemaError) as raised:
        await InputSchemas()(version(schema), QUERY, json.dumps(value))
    return dict(raised.value.violations)


async def test_a_version_without_a_schema_takes_any_input() -> None:
    await InputSchemas()(version(None), QUERY, '{"anything": [1]}')


async def test_an_input_that_fits_is_taken() -> None:
    await InputSchemas()(version(ORDER), QUERY, '{"order": {"id": "a", "count": 3}, "lines": [{"n": 1}]}')


async def test_every_violation_is_named_by_its_path() -> None:
    found = await violations(ORDER, {"order": {"id": "abcdef", "count": 1.5}, "lines": [{"n": 1}, {"n": 0}]})
    assert {*found} == {"input.order.id", "input.order.count", "input.lines[1].n"}
    assert "longer than 5 characters" in found["input.order.id"]


async def test_a_missing_or_unknown_field_is_named_in_the_sentence() -> None:
    assert '"id" is a required property' in (await violations(ORDER, {"order": {}}))["input.order"]
    assert "extra" in (await violations(ORDER, {"order": {"id": "a"}, "extra": 1}))["input"]


async def test_the_message_names_workflow_version_and_field() -> None:
    with pytest.raises(InputSchemaError, match=r"`orders` version 7: input\.order: .*; correct it"):
        await InputSchemas()(version(ORDER, 7), QUERY, '{"order": 1}')


async def test_only_the_first_violations_are_told() -> None:
    schema = {"items": {"type": "string"}, "properties": {"a": {"items": {"type": "string"}}}}
    with pytest.raises(InputSchemaError) as raised:
        await InputSchemas()(version(schema), QUERY, json.dumps({"a": list(range(100))}))
    assert len(raised.value.violations) == MAX_VIOLATIONS


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/s.json", "file:///etc/hostname"])
async def test_references_to_other_places_are_not_read(reference: str) -> None:
    with pytest.raises(ValueError, match="schemas of other places are not read"):
        await InputSchemas()(version({"$ref": reference}), QUERY, "{}")


async def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/name"}}}
    assert {*await violations(schema, {"a": 1})} == {"input.a"}


async def test_a_schema_is_compiled_once_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []
    plain = input_schema._compile
    monkeypatch.setattr(input_schema, "MAX_VALIDATORS", 2)
    monkeypatch.setattr(
        input_schema, "_compile", lambda given, process: compiled.append(given) or plain(given, process)
    )
    schemas = InputSchemas()
    for number in (1, 1, 2, 1, 3, 1, 2):
        await schemas(version(ORDER, number), QUERY, '{"order": {"id": "a"}}')
    assert len(compiled) == 4  # 1, 2, 3, and 2 again, which was used longest ago when 3 came


async def test_starts_that_arrive_together_compile_the_schema_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []
    plain = input_schema._compile
    monkeypatch.setattr(
        input_schema, "_compile", lambda given, process: compiled.append(given) or plain(given, process)
    )
    schemas = InputSchemas()
    one = '{"order": {"id": "a"}}'
    await asyncio.gather(*(schemas(version(ORDER), QUERY, one) for _ in range(50)))
    assert len(compiled) == 1


ENUM = {"properties": {"a": {"items": {"enum": [{"k": i} for i in range(1_000)]}}}}
LARGE = json.dumps({"a": [{"k": 999}] * 2_000})
SMALL = '{"a": [{"k": 999}]}'


class SlowProcess(SchemaProcess):
    """A process whose checks end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.checks = 0

    def check(self, schema: str, value: str, root: str) -> list[tuple[str, str, str]]:
        self.checks += 1
        self.release.wait(60)
        return []


async def test_a_large_input_is_checked_in_the_process_and_holds_up_no_small_one() -> None:
    process = SlowProcess()
    schemas = InputSchemas(process)
    large = asyncio.create_task(schemas(version(ENUM), QUERY, LARGE))
    try:
        await eventually(lambda: assert_checks(process, 1))
        await schemas(version(ENUM), QUERY, SMALL)
        assert not large.done()
    finally:
        process.release.set()
        await large
    assert process.checks == 1


def assert_checks(process: SlowProcess, count: int) -> None:
    assert process.checks == count


async def test_the_process_says_what_is_wrong_with_a_large_input() -> None:
    schemas = InputSchemas()
    with pytest.raises(InputSchemaError) as raised:
        await schemas(version(ENUM), QUERY, json.dumps({"a": [{"k": 999}] * 2_000 + [{"k": -1}]}))
    assert [path for path, _ in raised.value.violations] == ["input.a[2000]"]
    schemas.close()


async def test_an_input_that_would_have_very_many_violations_is_refused_at_once() -> None:
    """500 rules, each of which would quote the whole list."""
    schemas = InputSchemas()
    bomb = {"properties": {"a": {"allOf": [{"maxItems": 1}] * 500}}}
    with pytest.raises(InputSchemaError, match="has more than 1 item"):
        await schemas(version(bomb), QUERY, json.dumps({"a": [0] * 100_000}))
    schemas.close()


async def test_large_inputs_wait_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_schema, "MAX_LARGE_CHECKS", 5)
    process = SlowProcess()
    schemas = InputSchemas(process)
    waiting = [asyncio.create_task(schemas(version(ENUM), QUERY, LARGE)) for _ in range(1 + 5)]
    try:
        await eventually(lambda: assert_waiting(schemas, 5))
        with pytest.raises(ServiceError, match="repeat the start in a few seconds") as raised:
            await schemas(version(ENUM), QUERY, LARGE)
        assert raised.value.reason == "OVERLOADED"
    finally:
        process.release.set()
        await asyncio.gather(*waiting)
    await schemas(version(ENUM), QUERY, LARGE)  # there is room again


async def test_a_large_input_does_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_schema, "MAX_WAIT_SECONDS", 0.05)
    process = SlowProcess()
    schemas = InputSchemas(process)
    first = asyncio.create_task(schemas(version(ENUM), QUERY, LARGE))
    await eventually(schemas._room.locked)
    with pytest.raises(ServiceError, match="repeat the start in a few seconds"):
        await schemas(version(ENUM), QUERY, LARGE)
    process.release.set()
    await first


def assert_waiting(schemas: InputSchemas, count: int) -> None:
    assert schemas._waiting == count
