"""The graph: needs and conditions."""

from itertools import pairwise

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import Task, needs_of, plan_from, plan_of
from tests.unit.orchestrator.domain.world import World


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
    decision = world.run(commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1"), lease.token))

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


def test_a_pending_execution_whose_tasks_are_all_skipped_completes_at_once() -> None:
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
