import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from workflow_sdk import (
    Defaults,
    RetryPolicy,
    Timeouts,
    Workflow,
    WorkflowDefinitionError,
    cel,
    if_else,
    item,
    task,
)

other = Workflow("other-orders")
foreign = other.task("check", "stock.check")


@task("workflow")
def takes_the_name(_: Any) -> None:
    pass


def build(add: Callable[[Workflow], Any]) -> None:
    """A workflow with a task `check`, and then what `add` does."""
    orders = Workflow("orders")
    orders.task("check", "stock.check")
    add(orders)
    _ = orders.definition


PROBLEMS: list[tuple[Callable[[Workflow], Any], str]] = [
    (lambda o: o.task("check", "noop"), "has a task 'check' already"),
    (lambda o: o.task("Charge", "noop"), "'Charge' is no id of a task"),
    (lambda o: o.task("charge-card", "noop"), "digits and underscores"),
    (lambda o: o.task("a" * 64, "noop"), "1 to 63"),
    (lambda o: o.task(3, "noop"), "3 is no id of a task"),
    (lambda o: o.task("charge", "Orders.Charge"), "is no task type"),
    (lambda o: o.task("charge", ""), "is no task type"),
    (lambda o: o.task("charge", "a" * 129), "is no task type"),
    (lambda o: o.task("charge", lambda input: input), "task 'charge': .* is no handler: decorate it"),
    (lambda o: o.task("refund", "workflow"), r"add it with .child\(\)"),
    (lambda o: o.task("refund", takes_the_name), r"add it with .child\(\)"),
    (lambda o: o.child("refund", "Refunds"), "'Refunds' is no id of a workflow"),
    (lambda o: o.child("refund", "refunds", version="1"), r"task 'refund'.version can't be '1'"),
    (
        lambda o: o.task("charge", "noop", retry=1),
        "no option 'retry'; there are input, when, after, for_each",
    ),
    (lambda o: o.task("charge", "noop", retry_polcy=1), "did you mean 'retry_policy'"),
    (lambda o: o.task("a", "noop", when="${input.ok}"), r"no expression: .* write cel\('...'\)"),
    (lambda o: o.task("a", "noop", when=True), "when is True, no expression"),
    (lambda o: o.task("a", "noop", for_each="abc"), "give a list, or an expression"),
    (lambda o: o.task("a", "noop", max_parallel=5), "max_parallel and no for_each"),
    (lambda o: o.task("a", "noop", for_each=[], max_parallel="5"), "task 'a'.max_parallel can't be '5'"),
    (lambda o: o.task("a", "noop", after=["check"]), r"after has 'check': give tasks, as .task\(\) returns"),
    (lambda o: o.task("a", "noop", queue=3), "task 'a'.queue can't be 3"),
    (
        lambda o: o.task("a", "noop", timeouts=Timeouts(heartbeat=3)),
        "task 'a'.timeouts.heartbeat is 3: give a",
    ),  # type: ignore[arg-type]
    (
        lambda o: o.task("a", "noop", retry_policy=RetryPolicy(non_retryable_error_types=KeyError)),  # type: ignore[arg-type]
        "task 'a'.retry_policy.non_retryable_error_types is a list",
    ),
    (lambda o: o.task("a", "noop", retry_policy=RetryPolicy(maximum_attempts=1.5)), "maximum_attempts can't"),  # type: ignore[arg-type]
    (lambda o: o.task("a", "noop", input=o), "task 'a': input is of type Workflow"),
    (lambda o: o.task("a", "noop", input={"b": [2**60]}), r"task 'a': input.b\[0\] is .* beyond 2\^53"),
    (
        lambda o: o.task("a", "noop", input={"b": foreign}),
        "task 'a': input.b is <task 'check' .*its `.output`",
    ),
    (lambda o: o.task("a", "noop", input={f"x{o.input.a}": 1}), "expression in a key"),
    (lambda o: o.task("a", "noop", output_schema={"enum": [o.input.a]}), "output_schema is fixed when"),
    (lambda o: o.task("a", "noop", output_schema=["x"]), "give a JSON Schema, as a dict"),
    (lambda o: o.task("a", "noop", output_schema={"a": {1}}), "task 'a': output_schema.a is of type set"),
    (lambda o: o.task("a", "noop", when=cel("tasks.a.output")), "task 'a' uses itself"),
    (
        lambda o: o.task("a", "noop", when=cel("tasks.chek.output")),
        "uses task 'chek', .* did you mean 'check'",
    ),
    (
        lambda o: setattr(o, "output", cel("tasks.zzzzz.output")),
        "output uses task 'zzzzz', .* there are check",
    ),
    (lambda o: setattr(o, "output", [object()]), r"output\[0\] is of type object"),
]


@pytest.mark.parametrize(("add", "says"), PROBLEMS)
def test_what_cannot_be_is_refused_with_a_way_out(add: Callable[[Workflow], Any], says: str) -> None:
    with pytest.raises(WorkflowDefinitionError, match=says):
        build(add)


@pytest.mark.parametrize(
    "use",
    [
        lambda o: o.task("a", "noop", input=foreign.output),
        lambda o: o.task("a", "noop", input=[{"deep": f"a text with {foreign.output} in it"}]),
        lambda o: o.task("a", "noop", input=other.input.sku),
        lambda o: o.task("a", "noop", when=o.input.ok & (foreign.status == "SUCCEEDED")),
        lambda o: o.task("a", "noop", for_each=foreign.output.map(lambda each: each.sku)),
        lambda o: o.task("a", "noop", for_each=o.input.list.map(lambda each: foreign.output)),
        lambda o: o.task("a", "noop", input=o.input.list[foreign.output]),
        lambda o: o.task("a", "noop", input=o.input.list == [{"a": foreign.output}]),
        lambda o: o.task("a", "noop", input=cel(f"size({foreign.output})")),
        lambda o: o.task("a", "noop", input=if_else(o.input.a, foreign.output, 1)),
        lambda o: o.task("a", "noop", after=foreign),
        lambda o: setattr(o, "output", {"a": foreign.output}),
    ],
)
def test_the_input_and_the_tasks_of_another_workflow_are_refused(use: Callable[[Workflow], Any]) -> None:
    with pytest.raises(WorkflowDefinitionError, match="uses another workflow, 'other-orders'"):
        build(use)


def test_another_workflow_of_the_same_name_is_another_one() -> None:
    namesake = Workflow("orders").task("check", "stock.check")
    with pytest.raises(WorkflowDefinitionError, match="another workflow"):
        build(lambda orders: orders.task("a", "noop", input=namesake.output))


@pytest.mark.parametrize("workflow_id", ["ab", "Orders", "my_orders", "9lives", "a" * 64, "", None])
def test_a_workflow_needs_an_id_that_the_catalog_takes(workflow_id: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="is no id of a workflow"):
        Workflow(workflow_id)


@pytest.mark.parametrize(
    "options",
    [
        {"description": f"for {other.input.sku}"},
        {"owner": other.input.owner},
        {"labels": {"sku": other.input.sku}},
        {"labels": {f"{other.input.sku}": "sku"}},
        {"input_schema": {"const": other.input.sku}},
    ],
)
def test_what_a_workflow_says_of_itself_is_known_when_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(WorkflowDefinitionError, match="is fixed when the workflow is written"):
        Workflow("orders", **options)


def test_a_mistyped_attribute_is_refused() -> None:
    with pytest.raises(AttributeError):
        Workflow("orders").outputs = {}  # type: ignore[attr-defined]


def test_a_refused_task_leaves_the_workflow_as_it_was() -> None:
    orders = Workflow("orders")
    with pytest.raises(WorkflowDefinitionError):
        orders.task("charge", "orders.charge", input={1, 2})
    orders.task("charge", "orders.charge")

    assert [each.id for each in orders.definition.tasks] == ["charge"]


def test_what_was_given_may_change_afterwards() -> None:
    orders, given = Workflow("orders"), {"skus": ["a"]}
    orders.task("check", "stock.check", input=given)
    orders.output = given
    given["skus"].append("b")

    assert orders.to_dict()["tasks"][0]["input"] == orders.to_dict()["output"] == {"skus": ["a"]}


def test_a_definition_is_ones_own_to_change() -> None:
    orders = Workflow("orders")
    orders.task("check", "stock.check", after=[])
    orders.definition.tasks[0].id = "changed"

    assert orders.definition.tasks[0].id == "check"


def test_the_output_can_be_read_and_set_again() -> None:
    orders = Workflow("orders")
    check, charge = orders.task("check", "stock.check"), orders.task("charge", "orders.charge")
    orders.output = {"a": check.output}
    orders.output = [charge.output]

    assert orders.to_dict()["output"] == ["${tasks.charge.output}"]
    assert repr(orders.output) == "[<${tasks.charge.output}>]"


def test_needs_are_in_the_order_of_the_definition_without_duplicates() -> None:
    orders = Workflow("orders")
    tasks = [orders.task(name, "noop") for name in ("zeta", "alpha", "mid")]
    orders.task("last", "noop", after=[tasks[2], tasks[0]], input=[tasks[1].output, tasks[0].output.x, item])

    assert list(orders.definition.tasks[3].needs) == ["zeta", "alpha", "mid"]


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("tasks.a.output", ["a"]),
        ("tasks[\"a\"].output + tasks[ 'b' ].output", ["a", "b"]),
        ("tasks . a . output", ["a"]),
        ("tasks.?a.?output.orValue(1)", ["a"]),
        ('tasks[?"a"].output', ["a"]),
        ("size(tasks.a.output)", ["a"]),
        ('"tasks.a" + r"\\" + tasks.b.status + "tasks.a"', ["b"]),
        ("'it\\'s tasks.a' + tasks.b.status", ["b"]),
        ('"""a "quoted" tasks.a""" + tasks.b.status', ["b"]),
        ("r'''tasks.a ' ''' + tasks.b.status", ["b"]),
        ("tasks.b.output // and not tasks.a.output", ["b"]),
        ("input.tasks.a.output", []),
        ("mytasks.a.output", []),
        ('"http://x" + tasks.a.output', ["a"]),
    ],
)
def test_the_tasks_in_a_cel_text_are_needed(text: str, needs: list[str]) -> None:
    orders = Workflow("orders")
    for name in ("a", "b"):
        orders.task(name, "noop")
    orders.task("c", "noop", input=cel(text))

    assert list(orders.definition.tasks[2].needs) == needs


def test_every_way_of_making_a_text_takes_expressions() -> None:
    orders = Workflow("orders")
    sku = orders.input.sku
    made = [f"<{sku}>", "<{}>".format(sku), "<%s>" % sku, "<" + str(sku) + ">", "".join(["<", str(sku), ">"])]  # noqa: UP031, UP032
    orders.task("check", "stock.check", input=made)

    assert orders.to_dict()["tasks"][0]["input"] == ["<${input.sku}>"] * 5


def test_an_empty_policy_is_not_the_default_one() -> None:
    orders = Workflow("orders", defaults=Defaults())
    orders.task("check", "stock.check", retry_policy=RetryPolicy(), timeouts=Timeouts())
    definition = orders.definition

    assert definition.HasField("defaults")
    assert not definition.defaults.HasField("retry_policy")
    assert definition.tasks[0].HasField("retry_policy")


def test_building_a_workflow_loads_no_grpc_and_running_a_handler_no_protobuf() -> None:
    program = """
import sys
from workflow_sdk import task
assert "google.protobuf" not in sys.modules
from workflow_sdk import Defaults, RetryPolicy, Timeouts, Workflow, cel, has, if_else, item, index, execution
orders = Workflow("orders")
orders.output = orders.task("check", "stock.check", input=item).output
orders.to_dict()
assert "google.protobuf" in sys.modules
assert "grpc" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
