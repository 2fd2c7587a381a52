"""The check of a task's output against the output_schema of its definition."""

import json
from typing import Any

import pytest
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from execution_orchestrator.domain.commands import Succeeded
from execution_orchestrator.domain.errors import HeavyEvaluationError, InvalidDefinitionError
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.plan import Plan
from google.protobuf.json_format import ParseDict
from service_kit.errors import ServiceError
from workflow_schemas.process import CheckUnavailableError, SchemaProcess
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition


def plan_of(process: SchemaProcess | None = None, **task: Any) -> Plan:
    definition = ParseDict({"tasks": [{"id": "only", "type": "noop", **task}]}, WorkflowDefinition())
    return PlanCompiler(outputs=process)(definition.SerializeToString())


def problem_of(
    output: str, plan: Plan, evaluated: dict[tuple[str, str], Any] | None = None
) -> Failure | None:
    return Succeeded(output).problem(plan.tasks["only"].output_schema, evaluated or {})


STRING = plan_of(output_schema={"type": "string", "maxLength": 3.0})


def test_only_an_output_that_breaks_the_schema_is_a_failure() -> None:
    assert problem_of('"abc"', STRING) is None
    failure = problem_of('"abcd"', STRING)

    assert failure is not None
    assert (failure.type, failure.non_retryable) == ("OutputSchemaViolation", True)


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

    assert problem_of('"' + "a" * 1_000 + '!"', plan) is not None
    with pytest.raises(HeavyEvaluationError) as raised:
        problem_of('"' + "a" * 100_000 + '!"', plan)
    assert raised.value.compute().type == "OutputSchemaViolation"


OBJECTS = {"items": {"enum": [{"k": i} for i in range(1_000)]}}
ENUM = plan_of(output_schema=OBJECTS)


@pytest.mark.parametrize(("item", "fits"), [(999, True), (-1, False)])
def test_a_large_output_is_checked_elsewhere_and_the_command_decided_again(item: int, fits: bool) -> None:
    output = json.dumps([{"k": 999}] * 2_000 + [{"k": item}])
    with pytest.raises(HeavyEvaluationError) as raised:
        problem_of(output, ENUM)
    found = raised.value.compute()
    failure = problem_of(output, ENUM, {raised.value.key: found})
    assert (failure is None) == fits
    if failure is not None:
        assert "output[2000]" in failure.message


def test_a_small_output_is_checked_at_once_whatever_the_schema() -> None:
    assert problem_of('[{"k": 999}]', ENUM) is None


def test_a_schema_that_is_too_large_to_compile_here_is_left_to_the_process() -> None:
    plan = plan_of(output_schema={"enum": [f"word {i}" for i in range(10_000)]})

    with pytest.raises(HeavyEvaluationError) as raised:
        problem_of('"word 9999"', plan)
    assert raised.value.compute() is None


class DeadProcess(SchemaProcess):
    """A process that cannot check now."""

    def check(self, schema: str, value: str, root: str) -> list[tuple[str, str, str]]:
        raise CheckUnavailableError("cannot start a process")


def test_a_large_output_that_cannot_be_checked_now_may_be_reported_again() -> None:
    plan = plan_of(DeadProcess(), output_schema=OBJECTS)
    with pytest.raises(HeavyEvaluationError) as raised:
        problem_of(json.dumps([{"k": 999}] * 2_000), plan)

    with pytest.raises(ServiceError, match="cannot start a process: report the result again") as refused:
        raised.value.compute()
    assert refused.value.reason == "OVERLOADED"
