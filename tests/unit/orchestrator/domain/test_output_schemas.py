"""A success whose output breaks the schema of its task is recorded as a failure."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from execution_orchestrator.domain.commands import ReportTask, Succeeded
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.payloads import CheckedPayload
from execution_orchestrator.domain.task import Lease

from tests.unit.orchestrator.domain.plans import Task, plan_of
from tests.unit.orchestrator.domain.world import World

TOO_SMALL = Failure("OutputSchemaViolation", "output: must be over 0; correct it", non_retryable=True)
KEY = ("a", "output_schema")


class Positive:
    """A schema that numbers over 0 fit. It notes every output that it checks."""

    def __init__(self, *, is_large: bool = False) -> None:
        self.is_large = is_large
        self.asked: list[str] = []

    def __call__(self, output: CheckedPayload, evaluated: Mapping[tuple[str, str], Any]) -> Failure | None:
        if KEY in evaluated:
            found: Failure | None = evaluated[KEY]
            return found
        self.asked.append(output.text)
        failure = None if output.value > 0 else TOO_SMALL
        if self.is_large:
            raise HeavyEvaluationError(KEY, lambda: failure)
        return failure


def report(world: World, lease: Lease, output: Any, *, epoch: int | None = None) -> Effect:
    success = Succeeded(json.dumps(output))
    return world.run(ReportTask(lease.key, epoch or lease.epoch, success, lease.token)).effect


@pytest.mark.parametrize("is_large", [False, True])
def test_an_output_that_breaks_the_schema_fails_the_task_and_the_result_is_rejected(is_large: bool) -> None:
    world = World(plan_of("a", a=Task(output_schema=Positive(is_large=is_large))))

    effect = report(world, world.claim("a"), 0)

    assert effect is Effect.REJECTED
    assert world.status("a") == "FAILED"
    assert world.execution.failure is not None
    assert (world.execution.failure.type, world.execution.failure.message) == (
        "OutputSchemaViolation",
        TOO_SMALL.message,
    )
    assert world.heavy == ([KEY] if is_large else [])


@pytest.mark.parametrize("is_large", [False, True])
def test_an_output_that_fits_is_a_success(is_large: bool) -> None:
    world = World(plan_of("a", a=Task(output_schema=Positive(is_large=is_large))))

    effect = report(world, world.claim("a"), 1)

    assert (effect, world.status("a")) == (Effect.APPLIED, "SUCCEEDED")


def test_an_output_that_is_no_payload_is_refused_before_the_schema_is_asked() -> None:
    schema = Positive()
    world = World(plan_of("a", a=Task(output_schema=schema)))
    lease = world.claim("a")

    effect = world.report(lease, Succeeded("{"))

    assert effect is Effect.REJECTED
    assert world.execution.failure is not None
    assert world.execution.failure.type == "PayloadInvalid"
    assert schema.asked == []


def test_the_output_of_a_claim_that_is_over_is_not_checked() -> None:
    schema = Positive()
    world = World(plan_of("a", a=Task(output_schema=schema)))
    lease = world.claim("a")

    assert report(world, lease, 0, epoch=lease.epoch + 1) is Effect.STALE
    assert schema.asked == []
    report(world, lease, 0)
    assert report(world, lease, 0) is Effect.UNCHANGED
    assert schema.asked == ["0"]


def test_an_output_is_checked_once_however_often_its_report_is_decided() -> None:
    """The decision first lacks the row of the next item, and every decision here is made twice."""
    schema = Positive()
    each = Task(for_each="${input}", max_parallel=1, input="${item}", output_schema=schema)
    world = World(plan_of("a", a=each), input=[1, 2])
    lease = world.claim(("a", 0))
    loads = world.loads

    report(world, lease, 5)

    assert world.loads - loads > 1
    assert schema.asked == ["5"]


def test_a_task_of_an_execution_without_a_plan_can_still_end_while_the_execution_is_cancelled() -> None:
    world = World(plan_of("a", a=Task(output_schema=Positive())))
    lease = world.claim("a")
    world.plan_is_readable = False
    world.cancel()

    assert report(world, lease, 0) is Effect.APPLIED
    assert world.status("a") == "SUCCEEDED"
