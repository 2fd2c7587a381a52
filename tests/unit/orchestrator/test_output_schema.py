"""Which commands an output_schema turns into the report of a failure."""

import json
from datetime import timedelta
from typing import Any

import pytest
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.application.engine.output_schema import as_reported
from execution_orchestrator.domain.commands import (
    Cancelled,
    ClaimTask,
    Command,
    Failed,
    HandedBack,
    ReportTask,
    Succeeded,
    WakeExecution,
)
from execution_orchestrator.domain.errors import HeavyEvaluationError, InvalidDefinitionError
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import TaskKey
from google.protobuf.json_format import ParseDict
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

KEY = TaskKey("only")


def plan_of(**task: Any) -> Plan:
    definition = ParseDict({"tasks": [{"id": "only", "type": "noop", **task}]}, WorkflowDefinition())
    return PlanCompiler()(definition.SerializeToString())


STRING = plan_of(output_schema={"type": "string", "maxLength": 3.0})


def test_only_a_success_that_breaks_the_schema_is_changed() -> None:
    untouched: list[Command] = [
        ReportTask(KEY, 1, Succeeded('"abc"')),
        ReportTask(KEY, 1, Failed(Failure("Boom", "it broke"))),
        ReportTask(KEY, 1, Cancelled()),
        ReportTask(KEY, 1, HandedBack()),
        ReportTask(TaskKey("no_such_task"), 1, Succeeded("1")),
        ClaimTask(KEY, "worker", "boot", timedelta(seconds=1), b"secret"),
        WakeExecution(),
    ]
    for command in untouched:
        assert as_reported(command, STRING, {}) is command
    reported = as_reported(ReportTask(KEY, 7, Succeeded('"abcd"')), STRING, {})
    assert isinstance(reported, ReportTask)
    assert (reported.key, reported.epoch) == (KEY, 7)
    assert isinstance(reported.outcome, Failed)
    assert reported.outcome.failure.type == "OutputSchemaViolation"


def test_a_task_without_a_schema_has_no_check() -> None:
    assert plan_of().tasks["only"].output_schema is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"$ref": "http://127.0.0.1:9/s.json"},
        {"$ref": "file:///etc/hostname"},
        {"pattern": "(a+)+(?=b)"},
    ],
)
def test_a_schema_that_no_catalog_should_have_published_makes_no_plan(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidDefinitionError, match="the output_schema of task `only`"):
        plan_of(output_schema=schema)


def test_a_regular_expression_that_would_blow_up_elsewhere_takes_linear_time() -> None:
    """By backtracking it would take longer than the universe has."""
    plan = plan_of(output_schema={"type": "string", "pattern": "^(a+)+$"})
    command = ReportTask(KEY, 1, Succeeded('"' + "a" * 1_000 + '!"'))
    assert as_reported(command, plan, {}) is not command
    with pytest.raises(HeavyEvaluationError) as raised:
        as_reported(ReportTask(KEY, 1, Succeeded('"' + "a" * 100_000 + '!"')), plan, {})
    assert raised.value.compute().type == "OutputSchemaViolation"


ENUM = plan_of(output_schema={"items": {"enum": [{"k": i} for i in range(1_000)]}})


@pytest.mark.parametrize(("item", "fits"), [(999, True), (-1, False)])
def test_a_large_output_is_checked_elsewhere_and_the_command_decided_again(item: int, fits: bool) -> None:
    output = json.dumps([{"k": 999}] * 2_000 + [{"k": item}])
    command = ReportTask(KEY, 1, Succeeded(output))
    with pytest.raises(HeavyEvaluationError) as raised:
        as_reported(command, ENUM, {})
    found = raised.value.compute()
    reported = as_reported(command, ENUM, {raised.value.key: found})
    assert (reported is command) == fits
    if not fits:
        assert isinstance(reported, ReportTask)
        assert isinstance(reported.outcome, Failed)
        assert "output[2000]" in reported.outcome.failure.message


def test_a_small_output_is_checked_at_once_whatever_the_schema() -> None:
    command = ReportTask(KEY, 1, Succeeded('[{"k": 999}]'))
    assert as_reported(command, ENUM, {}) is command


def test_a_schema_that_is_too_large_to_compile_here_is_left_to_the_process() -> None:
    plan = plan_of(output_schema={"enum": [f"word {i}" for i in range(10_000)]})
    command = ReportTask(KEY, 1, Succeeded('"word 9999"'))
    with pytest.raises(HeavyEvaluationError) as raised:
        as_reported(command, plan, {})
    assert raised.value.compute() is None
