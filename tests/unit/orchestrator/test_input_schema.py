"""The input of a start against the schema of its version."""

import asyncio
import json
import threading
from typing import Any

import pytest
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.application.starting.input_schema import InputChecks, InputSchemaError
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.plan import Plan
from google.protobuf import json_format
from service_kit.errors import ServiceError
from testkit import eventually
from workflow_schemas.limits import MAX_VIOLATIONS
from workflow_schemas.process import CheckUnavailableError, SchemaProcess
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

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


def plan_of(schema: dict[str, Any] | None, process: SchemaProcess | None = None) -> Plan:
    definition = WorkflowDefinition()
    if schema is not None:
        json_format.ParseDict(schema, definition.input_schema)
    return PlanCompiler(inputs=process)(definition.SerializeToString())


async def check(plan: Plan, input_: str, checks: InputChecks | None = None) -> None:
    await (checks or InputChecks()).check(plan, "orders", 7, input_)


async def violations(schema: dict[str, Any], value: Any) -> dict[str, str]:
    with pytest.raises(InputSchemaError) as raised:
        await check(plan_of(schema), json.dumps(value))
    return dict(raised.value.violations)


async def test_a_version_without_a_schema_takes_any_input() -> None:
    await check(plan_of(None), '{"anything": [1]}')


async def test_an_input_that_fits_is_taken() -> None:
    await check(plan_of(ORDER), '{"order": {"id": "a", "count": 3}, "lines": [{"n": 1}]}')


async def test_every_violation_is_named_by_its_path() -> None:
    found = await violations(ORDER, {"order": {"id": "abcdef", "count": 1.5}, "lines": [{"n": 1}, {"n": 0}]})

    assert {*found} == {"input.order.id", "input.order.count", "input.lines[1].n"}
    assert "longer than 5 characters" in found["input.order.id"]


async def test_a_missing_or_unknown_field_is_named_in_the_sentence() -> None:
    assert '"id" is a required property' in (await violations(ORDER, {"order": {}}))["input.order"]
    assert "extra" in (await violations(ORDER, {"order": {"id": "a"}, "extra": 1}))["input"]


async def test_the_message_names_workflow_version_and_field() -> None:
    with pytest.raises(InputSchemaError, match=r"`orders` version 7: input\.order: .*; correct it"):
        await check(plan_of(ORDER), '{"order": 1}')


async def test_only_the_first_violations_are_told() -> None:
    schema = {"items": {"type": "string"}, "properties": {"a": {"items": {"type": "string"}}}}

    with pytest.raises(InputSchemaError) as raised:
        await check(plan_of(schema), json.dumps({"a": list(range(100))}))
    assert len(raised.value.violations) == MAX_VIOLATIONS


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/s.json", "file:///etc/hostname"])
async def test_references_to_other_places_are_not_read(reference: str) -> None:
    plan = plan_of({"$ref": reference})  # there is a plan: what is in flight needs no schema of its input
    with pytest.raises(InvalidDefinitionError, match="schemas of other places are not read"):
        await check(plan, "{}")


async def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/name"}}}
    assert {*await violations(schema, {"a": 1})} == {"input.a"}


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
    plan, checks = plan_of(ENUM, process), InputChecks()
    large = asyncio.create_task(check(plan, LARGE, checks))

    try:
        await eventually(lambda: assert_checks(process, 1))
        await check(plan, SMALL, checks)
        assert not large.done()
    finally:
        process.release.set()
        await large

    assert process.checks == 1


def assert_checks(process: SlowProcess, count: int) -> None:
    assert process.checks == count


async def test_the_process_says_what_is_wrong_with_a_large_input() -> None:
    process = SchemaProcess()
    with pytest.raises(InputSchemaError) as raised:
        await check(plan_of(ENUM, process), json.dumps({"a": [{"k": 999}] * 2_000 + [{"k": -1}]}))
    assert [path for path, _ in raised.value.violations] == ["input.a[2000]"]
    process.close()


async def test_an_input_that_would_have_very_many_violations_is_refused_at_once() -> None:
    """500 rules, each of which would quote the whole list."""
    process = SchemaProcess()
    bomb = {"properties": {"a": {"allOf": [{"maxItems": 1}] * 500}}}
    with pytest.raises(InputSchemaError, match="has more than 1 item"):
        await check(plan_of(bomb, process), json.dumps({"a": [0] * 100_000}))
    process.close()


async def test_large_inputs_wait_up_to_a_limit() -> None:
    process = SlowProcess()
    plan, checks = plan_of(ENUM, process), InputChecks(max_waiting=5)
    waiting = [asyncio.create_task(check(plan, LARGE, checks)) for _ in range(1 + 5)]
    try:
        await eventually(lambda: assert_waiting(checks, 5))
        with pytest.raises(ServiceError, match="repeat the start in a few seconds") as raised:
            await check(plan, LARGE, checks)
        assert raised.value.reason == "OVERLOADED"
    finally:
        process.release.set()
        await asyncio.gather(*waiting)

    await check(plan, LARGE, checks)  # there is room again


async def test_a_large_input_does_not_wait_without_end() -> None:
    process = SlowProcess()
    plan, checks = plan_of(ENUM, process), InputChecks(max_wait_seconds=0.05)
    first = asyncio.create_task(check(plan, LARGE, checks))
    await eventually(checks._room.locked)
    with pytest.raises(ServiceError, match="repeat the start in a few seconds"):
        await check(plan, LARGE, checks)
    process.release.set()
    await first


class DeadProcess(SchemaProcess):
    """A process that cannot check now."""

    def check(self, schema: str, value: str, root: str) -> list[tuple[str, str, str]]:
        raise CheckUnavailableError("cannot start a process")


async def test_a_large_input_that_cannot_be_checked_now_may_be_sent_again() -> None:
    with pytest.raises(ServiceError, match="cannot start a process: repeat the start") as raised:
        await check(plan_of(ENUM, DeadProcess()), LARGE)
    assert raised.value.reason == "OVERLOADED"


def assert_waiting(checks: InputChecks, count: int) -> None:
    assert checks._waiting == count
