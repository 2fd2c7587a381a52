"""Fan-outs: one run for each item, some at a time."""

import re

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.limits import MAX_FAN_OUT_OUTPUT_BYTES, MAX_INLINE_EVALUATION_BYTES
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey
from workflow_contract.limits import MAX_FAN_OUT_ITEMS

from tests.unit.orchestrator.domain.plans import Task, plan_of
from tests.unit.orchestrator.domain.world import World


def items_in(world: World, task_id: str, status: TaskStatus) -> list[int]:
    return sorted(
        key.item for key in world.in_state(status) if key.task_id == task_id and key.item != NO_ITEM
    )


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
    decision = world.run(commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1"), lease.token))

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


def test_a_large_fan_out_is_evaluated_elsewhere_and_gives_the_same() -> None:
    """Neither the event loop nor a row lock waits for it."""
    task = Task(for_each="${tasks.a.output}", input={"n": "${item}", "of": "${size(tasks.a.output)}"})
    for number, heavy in ((150, []), (201, [("b", "for_each")])):
        world = World(plan_of("a -> b", b=task), thorough=False)
        world.work("a", list(range(number)))
        assert world.heavy == heavy
        assert world.input_of(("b", number - 1)) == {"n": number - 1, "of": number}


def test_an_evaluation_on_large_data_is_made_elsewhere() -> None:
    """Also of a condition, a plain input and the output of the workflow."""
    task = Task(when="${size(tasks.a.output) > 0}", input="${tasks.a.output[0]}")
    world = World(plan_of("a -> b", b=task, output="${tasks.a.output[0]}"), thorough=False)
    world.work("a", ["x", "y" * MAX_INLINE_EVALUATION_BYTES])
    assert world.heavy == [("b", "when"), ("b", "input")]
    assert world.input_of("b") == "x"
    world.work("b")

    assert world.heavy[2:] == [("", "output")]
    assert world.execution.output == '"x"'


def test_a_heavy_evaluation_of_few_bytes_is_made_elsewhere() -> None:
    loops = "${input.n.filter(x, input.n.exists(y, y > x)).size()}"
    world = World(plan_of("a", a=Task(input=[loops] * 20)), {"n": list(range(90))}, thorough=False)

    assert world.heavy == [("a", "input")]
    assert world.input_of("a") == [89] * 20


def test_items_that_are_all_compared_with_each_other_fail_the_task_and_say_what_to_do() -> None:
    """Ten thousand items compared with each other would take minutes."""
    task = Task(for_each="${input.all}", input="${input.all.filter(x, x.n > item.n).size()}")
    all_ = [{"n": number} for number in range(9_000)]
    world = World(plan_of("a", a=task), {"all": all_}, thorough=False)

    assert world.execution.failure is not None
    assert world.execution.failure.task_id == "a"
    assert "compute what they need in one task before" in world.execution.failure.message


def large_outputs(items: int) -> World:
    """A fan-out whose items gave 900 KB each, except for the last one, which is to be done."""
    plan = plan_of("a -> b -> c", a=Task(for_each="${input.all}"), c=Task(input="${size(tasks.a.output)}"))
    world = World(plan, {"all": list(range(items))}, thorough=False)
    for item in range(items - 1):
        world.work(("a", item), "x" * 900_000)
    return world


def test_the_row_of_a_fan_out_counts_the_bytes_of_its_outputs() -> None:
    world = large_outputs(3)
    world.work(("a", 2), 7)

    assert world.row("a").output_bytes == 2 * 900_002 + 1
    assert (world.row(("a", 0)).output_bytes, world.row(("a", 0)).input_bytes) == (900_002, 0)


def test_outputs_that_are_too_large_together_fail_only_what_reads_them_and_are_never_loaded() -> None:
    world = large_outputs(MAX_FAN_OUT_OUTPUT_BYTES // 900_000 + 2)
    world.work(("a", MAX_FAN_OUT_OUTPUT_BYTES // 900_000 + 1), 1)
    assert world.status("a") == "SUCCEEDED"
    loaded = world.loaded_outputs
    world.work("b")
    failure = world.execution.failure

    assert failure is not None
    assert (failure.type, failure.task_id) == ("PayloadTooLarge", "c")
    assert "return references from the items" in failure.message
    assert world.loaded_outputs == loaded == []


def test_outputs_that_fit_together_are_read() -> None:
    world = large_outputs(4)
    world.work(("a", 3), 1)
    world.work("b")

    assert world.input_of("c") == 4
    assert world.loaded_outputs == ["a"]


def test_inputs_of_items_are_limited_together() -> None:
    """One input passed on to every item is many times its size."""
    task = Task(for_each=list(range(100)), input={"item": "${item}", "all": "${input.big}"})
    world = World(plan_of("a", a=task), {"big": "x" * 1_000_000}, thorough=False)

    assert world.execution.failure is not None
    assert world.execution.failure.type == "PayloadTooLarge"
    assert "together" in world.execution.failure.message
    assert list(world.rows) == [TaskKey("a")], "no item was made"
