"""The graph: needs, conditions, fan-outs and expressions."""

import re
from itertools import pairwise

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.limits import MAX_FAN_OUT_ITEMS
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey

from tests.unit.orchestrator.domain.plans import Task, needs_of, plan_from, plan_of
from tests.unit.orchestrator.domain.world import World


def items_in(world: World, task_id: str, status: TaskStatus) -> list[int]:
    return sorted(
        key.item for key in world.in_state(status) if key.task_id == task_id and key.item != NO_ITEM
    )


# -- needs and conditions ---------------------------------------------------------------------------


def test_a_task_waits_for_everything_that_it_needs() -> None:
    world = World(plan_of("a -> c, b -> c"))
    world.work("a")
    assert world.statuses() == {"a": "SUCCEEDED", "b": "READY", "c": "BLOCKED"}
    world.work("b")
    assert world.status("c") == "READY"


def test_tasks_become_ready_in_the_order_of_the_definition() -> None:
    plan = plan_of("a -> d, b, c, a -> e, a -> f")
    world = World(plan)
    lease = world.claim("a")
    decision = world.run(commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1")))
    assert decision.ready == [TaskKey("d"), TaskKey("e"), TaskKey("f")]


def test_a_task_whose_condition_is_false_is_skipped_and_its_dependants_run() -> None:
    world = World(plan_of("a -> b -> c", b=Task(when="${input.full}")), {"full": False})
    world.work("a")
    assert world.statuses() == {"a": "SUCCEEDED", "b": "SKIPPED", "c": "READY"}
    assert world.execution.tasks_skipped == 1


def test_a_condition_may_ask_how_another_task_ended() -> None:
    world = World(
        plan_of(
            "a -> b, a -> c, b -> d, c -> d",
            b=Task(when="${false}"),
            d=Task(when="${tasks.b.status == 'SKIPPED'}"),
        )
    )
    world.work("a")
    world.work("c")
    assert world.status("d") == "READY"


def test_where_everything_is_skipped_a_pending_execution_completes_by_itself() -> None:
    never = Task(when="${false}")
    world = World(plan_of("a -> b", a=never, b=never, output={"b": "${tasks.b.status}"}))
    assert world.execution.status == "COMPLETED"
    assert world.execution.output == '{"b":"SKIPPED"}'
    assert world.event_types() == [
        "EXECUTION_CREATED",
        "TASK_SKIPPED",
        "TASK_SKIPPED",
        "EXECUTION_STARTED",
        "EXECUTION_COMPLETED",
    ]


def test_a_chain_of_five_hundred_skips_needs_no_recursion_and_few_loads() -> None:
    names = [f"t{number}" for number in range(500)]
    tasks = {name: Task(when="${input.go}") for name in names[1:]}
    world = World(plan_from(needs_of(" -> ".join(names)), tasks), {"go": False}, thorough=False)
    lease = world.claim("t0")
    loads = world.loads
    world.succeed(lease)
    assert world.execution.status == "COMPLETED"
    assert world.execution.tasks_skipped == 499
    assert world.loads - loads <= 14, "each load reaches twice as far as the one before"


def test_what_many_dependants_use_is_loaded_at_once() -> None:
    sources = [f"s{number}" for number in range(20)]
    users = {f"u{number}": Task(input=f"${{tasks.s{number}.output}}") for number in range(20)}
    graph = ", ".join(f"{source} -> gate -> u{number}" for number, source in enumerate(sources))
    world = World(plan_from(needs_of(graph), users))
    for number, source in enumerate(sources):
        world.work(source, number)
    lease = world.claim("gate")
    loads = world.loads
    world.succeed(lease)
    assert [world.input_of(user) for user in users] == list(range(20))
    assert world.loads - loads <= 4


def test_a_grid_of_tasks_that_all_need_each_other_completes() -> None:
    layers = [[f"l{layer}_{place}" for place in range(6)] for layer in range(12)]
    chains = [f"{a} -> {b}" for upper, lower in pairwise(layers) for a in upper for b in lower]
    world = World(plan_of(", ".join(chains)), thorough=False)
    for layer in layers:
        for name in layer:
            world.work(name)
    assert world.execution.status == "COMPLETED"
    assert world.execution.tasks_succeeded == 72


@pytest.mark.parametrize(
    ("graph", "message"),
    [("a -> b -> c -> a", "need each other in a circle: `"), ("a -> a", "`a` -> `a`")],
)
def test_a_circle_is_refused(graph: str, message: str) -> None:
    with pytest.raises(InvalidDefinitionError, match=message):
        plan_of(graph)


def test_a_need_that_is_no_task_is_refused() -> None:
    plan = plan_of("a -> b")
    with pytest.raises(InvalidDefinitionError, match="task `b` needs `a`, which is no task"):
        type(plan)([plan.tasks["b"]])


# -- fan-outs ---------------------------------------------------------------------------------------


def test_a_fan_out_runs_each_item_with_its_own_input_and_gives_the_outputs_in_order() -> None:
    world = World(
        plan_of(
            "a -> b",
            a=Task(for_each="${input.names}", input={"name": "${item}", "place": "${index}"}),
            b=Task(input="${tasks.a.output}"),
        ),
        {"names": ["x", "y", "z"]},
    )
    assert world.statuses() == {
        "a": "RUNNING",
        "a[0]": "READY",
        "a[1]": "READY",
        "a[2]": "READY",
        "b": "BLOCKED",
    }
    assert world.input_of(("a", 1)) == {"name": "y", "place": 1}
    for index in (2, 0, 1):
        world.work(("a", index), index * 10)
    assert world.status("a") == "SUCCEEDED"
    assert world.input_of("b") == [0, 10, 20]


def test_no_more_than_max_parallel_items_run_and_they_start_in_order() -> None:
    world = World(plan_of("a", a=Task(for_each=list(range(5)), max_parallel=2)))
    assert items_in(world, "a", TaskStatus.READY) == [0, 1]
    world.work(("a", 1))
    assert items_in(world, "a", TaskStatus.READY) == [0, 2]
    world.work(("a", 0))
    world.work(("a", 2))
    assert items_in(world, "a", TaskStatus.READY) == [3, 4]
    assert items_in(world, "a", TaskStatus.BLOCKED) == []
    world.work(("a", 4))
    world.work(("a", 3))
    assert world.execution.status == "COMPLETED"


def test_an_item_that_is_retried_or_lost_keeps_its_place() -> None:
    world = World(plan_of("a", a=Task(for_each=[1, 2, 3], max_parallel=1)))
    world.fail(world.claim(("a", 0)))
    world.sleep(1)
    world.claim(("a", 0))
    world.sleep(30)
    assert items_in(world, "a", TaskStatus.BLOCKED) == [1, 2]
    world.work(("a", 0))
    assert items_in(world, "a", TaskStatus.READY) == [1]


def test_the_next_item_waits_while_paused() -> None:
    world = World(plan_of("a", a=Task(for_each=[1, 2], max_parallel=1)))
    lease = world.claim(("a", 0))
    world.pause()
    world.succeed(lease)
    assert world.try_claim(("a", 1)) is None
    world.resume()
    world.work(("a", 1))
    assert world.execution.status == "COMPLETED"


def test_a_fan_out_over_nothing_ends_at_once_with_an_empty_list() -> None:
    world = World(
        plan_of("a -> b", a=Task(for_each="${input.names}"), b=Task(input="${tasks.a.output}")), {"names": []}
    )
    assert world.status("a") == "SUCCEEDED"
    assert world.input_of("b") == []


def test_without_an_input_of_its_own_every_item_has_the_executions() -> None:
    world = World(plan_of("a", a=Task(for_each=[1, 2])), {"x": 1})
    assert world.claim(("a", 1)).input == '{"x": 1}'


def test_a_fan_out_of_ten_thousand_touches_little_with_each_item() -> None:
    task = Task(for_each="${input.all}", max_parallel=3, input="${item}")
    world = World(plan_of("a -> b", a=task), {"all": list(range(10_000))}, thorough=False)
    assert world.execution.tasks_total == 10_002
    assert items_in(world, "a", TaskStatus.READY) == [0, 1, 2]
    lease = world.claim(("a", 1))
    decision = world.run(commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1")))
    assert set(decision.tasks) == {TaskKey("a"), TaskKey("a", 1), TaskKey("a", 3)}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("${input.text}", "`for_each.items` of task `a` must give a list; it gave str"),
        ("${input.none}", "`for_each.items` of task `a`: .*none"),
        ([0] * (MAX_FAN_OUT_ITEMS + 1), "gave 10,001 items; at most 10,000 are run"),
    ],
)
def test_items_that_are_no_list_fail_the_task(items: object, message: str) -> None:
    world = World(plan_of("a, b", a=Task(for_each=items)), {"text": "x"}, thorough=False)
    assert world.execution.status == "FAILED"
    assert world.statuses() == {"a": "FAILED", "b": "CANCELLED"}
    assert world.execution.failure is not None
    assert re.search(message, world.execution.failure.message)


def test_inputs_of_items_are_limited_together() -> None:
    """One input passed on to every item is many times its size."""
    task = Task(for_each=list(range(100)), input={"item": "${item}", "all": "${input.big}"})
    world = World(plan_of("a", a=task), {"big": "x" * 1_000_000}, thorough=False)
    assert world.execution.failure is not None
    assert world.execution.failure.type == "PayloadTooLarge"
    assert "together" in world.execution.failure.message
    assert list(world.rows) == [TaskKey("a")], "no item was made"


# -- expressions that fail --------------------------------------------------------------------------

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
