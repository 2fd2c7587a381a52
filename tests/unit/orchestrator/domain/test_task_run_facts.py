"""What task runs and events say of themselves: since when they waited, how many items, of which run."""

from datetime import timedelta

from execution_orchestrator.domain import commands
from execution_orchestrator.domain.commands import ClaimTask
from execution_orchestrator.domain.decide import decide
from execution_orchestrator.domain.decision import Snapshot
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.task import TaskKey, TaskRun

from tests.unit.orchestrator.domain.plans import Task, plan_of
from tests.unit.orchestrator.domain.world import START, World


def seconds_of(world: World, task: str) -> float:
    """When the task run last began to wait, in seconds from the start."""
    time = world.row(task).last_ready_time
    assert time is not None
    return (time - START).total_seconds()


def test_a_task_run_that_a_worker_has_or_had_still_says_since_when_it_waited() -> None:
    world = World(plan_of("a -> b"))
    world.advance(5)
    lease = world.claim("a")
    assert (world.row("a").ready_time, seconds_of(world, "a")) == (None, 0)
    world.advance(3)
    world.succeed(lease)

    assert (seconds_of(world, "a"), seconds_of(world, "b")) == (0, 8)


def test_a_task_run_that_becomes_ready_again_says_when_that_was() -> None:
    world = World(plan_of("a"))
    world.advance(5)
    world.fail(world.claim("a"))
    assert seconds_of(world, "a") == 0
    world.sleep(10)

    assert seconds_of(world, "a") == 15


def test_the_time_of_a_pause_is_no_waiting_for_a_worker() -> None:
    world = World(plan_of("a"))
    world.pause()
    world.advance(60)
    world.resume()
    world.advance(1)
    world.claim("a")

    assert seconds_of(world, "a") == 60


def test_the_event_of_a_fan_out_says_how_many_items_it_has() -> None:
    world = World(plan_of("a, b -> c", a=Task(for_each=[1, 2, 3]), c=Task(for_each=[])))
    world.work("b")
    found = {event.task_id: event.item_count for event in world.events if event.type == "TASK_EXPANDED"}

    assert found == {"a": 3, "c": 0}
    assert {event.item_count for event in world.events if event.type != "TASK_EXPANDED"} == {None}


def test_events_are_of_the_run_that_the_execution_is_in() -> None:
    world = World(plan_of("a"))
    execution = world.execution.copy()
    execution.run_number = 2
    snapshot = Snapshot(execution, world.plan, tasks=dict(world.rows), input="{}")
    claim = ClaimTask(TaskKey("a"), "w1", "boot", timedelta(seconds=30), b"token")

    decision = decide(snapshot, claim, world.now)

    assert [event.type for event in decision.events] == [
        EventType.EXECUTION_STARTED,
        EventType.TASK_STARTED,
    ]
    assert {event.run_number for event in decision.events} == {2}
    assert {event.run_number for event in world.events} == {1}


def test_the_items_of_a_fan_out_are_of_the_run_of_their_task() -> None:
    world = World(plan_of("a -> b", b=Task(for_each=[1, 2])))
    tasks: dict[TaskKey, TaskRun] = {key: row.copy() for key, row in world.rows.items()}
    for row in tasks.values():
        row.run_number = 2
    execution: Execution = world.execution.copy()
    claim = ClaimTask(TaskKey("a"), "w1", "boot", timedelta(seconds=30), b"token")
    decision = decide(Snapshot(execution, world.plan, tasks=tasks, input="{}"), claim, world.now)
    assert decision.lease is not None
    tasks |= decision.tasks
    report = commands.ReportTask(
        TaskKey("a"), decision.lease.epoch, commands.Succeeded("1"), decision.lease.token
    )

    after = decide(Snapshot(decision.execution, world.plan, tasks=tasks, input="{}"), report, world.now)

    assert {after.tasks[TaskKey("b", item)].run_number for item in (0, 1)} == {2}
