"""A definition as the catalog has it, as the plan that executions run on."""

from datetime import timedelta

import pytest
from execution_orchestrator.adapters.plan_compiler import PlanCompiler
from google.protobuf.json_format import ParseDict
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

DEFAULTS = {"timeouts": {"start_to_close": "30s", "schedule_to_start": "1.5s", "heartbeat": "7s"}}


@pytest.mark.parametrize("own", ["0.100s", "2s", "90.25s"])
def test_a_timeout_of_a_task_replaces_the_default_one_to_the_nanosecond(own: str) -> None:
    """Seconds and nanoseconds are fields of their own, which must not be mixed."""
    task = {"id": "a", "type": "noop", "timeouts": {"start_to_close": own}}
    definition = ParseDict({"defaults": DEFAULTS, "tasks": [task]}, WorkflowDefinition())
    plan = PlanCompiler()(definition.SerializeToString()).tasks["a"]

    assert plan.start_to_close == timedelta(seconds=float(own.removesuffix("s")))
    assert (plan.schedule_to_start, plan.heartbeat_timeout) == (timedelta(seconds=1.5), timedelta(seconds=7))
