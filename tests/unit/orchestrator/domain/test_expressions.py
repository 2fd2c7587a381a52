"""Expressions that fail, and those of the workflow itself."""

import pytest
from execution_orchestrator.domain.rules.evaluation import EvaluationFailedError, as_payload

from tests.unit.orchestrator.domain.plans import Task, plan_of
from tests.unit.orchestrator.domain.world import World

BROKEN = "${input.nothing}"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(input={"x": BROKEN}), "the input of task `b`: x: "),
        (Task(when=BROKEN), "`when` of task `b`: "),
        (Task(when="${input.text}"), "a condition must give true or false"),
        (Task(for_each=BROKEN), "`for_each.items` of task `b`: "),
        (Task(for_each=[1], input={"y": BROKEN}), "the input of item 0 of task `b`: y: "),
    ],
)
def test_an_expression_that_fails_fails_its_task_for_good_and_names_the_field(
    task: Task, message: str
) -> None:
    world = World(plan_of("a -> b -> d, c", b=task), {"text": "x"})
    world.work("a")
    assert world.execution.status == "FAILED"
    assert world.statuses() == {"a": "SUCCEEDED", "b": "FAILED", "d": "CANCELLED", "c": "CANCELLED"}
    failure = world.execution.failure

    assert failure is not None
    assert message in failure.message
    assert (failure.type, failure.task_id, failure.retry_state) == ("ExpressionError", "b", "non-retryable")


def test_an_expression_that_fails_at_the_start_fails_the_execution_at_once() -> None:
    world = World(plan_of("a, b", a=Task(input=BROKEN)))

    assert world.execution.status == "FAILED"
    assert world.event_types() == ["EXECUTION_CREATED", "TASK_FAILED", "EXECUTION_FAILED"]


def test_an_expression_that_fails_while_paused_takes_effect_at_resume() -> None:
    world = World(plan_of("a -> b", b=Task(input=BROKEN)))
    lease = world.claim("a")
    world.pause()
    world.succeed(lease)
    assert world.execution.status == "PAUSED"
    assert world.status("b") == "FAILED"
    world.resume()

    assert world.execution.status == "FAILED"


def test_the_output_of_the_workflow_is_evaluated_at_the_end() -> None:
    world = World(plan_of("a", output={"of": "${tasks.a.output.x}", "by": "${execution.workflow_id}"}))
    world.work("a", {"x": 7})

    assert world.execution.output == '{"of":7,"by":"flow"}'


def test_an_output_of_the_workflow_that_fails_fails_the_execution() -> None:
    world = World(plan_of("a", output="${tasks.a.output.nothing}"))
    world.work("a", {"x": 7})

    assert world.execution.status == "FAILED"
    assert world.execution.failure is not None
    assert "the output of the workflow: " in world.execution.failure.message
    assert world.status("a") == "SUCCEEDED"


def test_an_input_over_the_limit_fails_its_task() -> None:
    twice = Task(input=["${tasks.a.output}", "${tasks.a.output}"])
    world = World(plan_of("a -> b", b=twice), thorough=False)
    world.work("a", "x" * 600_000)

    assert world.execution.failure is not None
    assert world.execution.failure.type == "PayloadTooLarge"
    assert world.execution.failure.task_id == "b"


def test_an_infinite_number_that_an_earlier_release_stored_fails_the_task() -> None:
    """Postgres would refuse the whole batch for `Infinity`."""
    with pytest.raises(EvaluationFailedError, match="infinite or NaN") as caught:
        as_payload({"x": float("inf")}, "the input of task `c`")
    assert caught.value.failure.type == "ExpressionError"


def test_after_a_task_that_cannot_begin_none_of_its_siblings_begins() -> None:
    """Nothing of them is claimed, skipped or expanded: the history ends with the failure."""
    siblings = {"b": Task(when="${false}"), "c": Task(for_each=[1, 2])}
    world = World(plan_of("a, b, c, d", a=Task(input=BROKEN), **siblings))

    assert world.event_types() == ["EXECUTION_CREATED", "TASK_FAILED", "EXECUTION_FAILED"]
    assert world.statuses() == {"a": "FAILED", "b": "CANCELLED", "c": "CANCELLED", "d": "CANCELLED"}
    assert world.hints == set()
