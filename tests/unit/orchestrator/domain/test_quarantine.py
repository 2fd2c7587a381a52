"""Quarantine: an execution that cannot be decided stands still until an operator releases or cancels it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.errors import PlanUnavailableError
from execution_orchestrator.domain.execution import Quarantine
from execution_orchestrator.domain.limits import MAX_QUARANTINE_REASON_BYTES
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import World

Step = Callable[[World], object]


def running(graph: str = "a -> b, x", **tasks: Task) -> World:
    """A world in which a worker has task `a`."""
    world = World(plan_of(graph, timeout=60, **tasks))
    world.claim("a")
    return world


def without_the_plan(world: World) -> World:
    world.flush()
    world.plan_is_readable = False
    return world


def test_a_quarantine_is_a_field_and_an_event_and_keeps_the_status() -> None:
    world = running()
    assert world.quarantine("the definition is gone", tries=5) is Effect.APPLIED
    assert world.execution.status == "RUNNING"
    assert world.execution.quarantine == Quarantine(world.now, "the definition is gone", 5)
    last = world.events[-1]

    assert (last.type, last.status, last.reason) == (
        "EXECUTION_QUARANTINED",
        "RUNNING",
        "the definition is gone",
    )


def test_nothing_is_claimed_and_no_timer_is_set_during_a_quarantine() -> None:
    world = running()
    world.quarantine()
    assert world.try_claim("x") is None
    assert world.row("x").ready_time is None
    assert world.execution.wake_time is None
    assert [task.wake_time for task in world.rows.values()] == [None, None, None]
    world.sleep(100_000)

    assert world.statuses() == {"a": "RUNNING", "b": "BLOCKED", "x": "READY"}


def test_a_heartbeat_confirms_a_claim_in_a_quarantine_and_sets_no_timer() -> None:
    world = running()
    world.quarantine()
    world.advance(20)
    assert world.renew(world.leases[0])
    assert world.row("a").confirmed
    assert world.row("a").wake_time is None
    world.release()

    assert world.row("a").wake_time == world.row("a").close_time


def test_a_release_puts_the_tasks_back_into_the_queue_with_the_time_that_was_left() -> None:
    world = World(plan_of("a, b", a=Task(schedule_to_start=5), timeout=60))
    world.fail(world.claim("b"))
    world.advance(0.25)
    world.quarantine()
    world.sleep(100_000)

    world.hints.clear()

    assert world.release("repaired") is Effect.APPLIED
    assert world.execution.quarantine is None
    assert (world.events[-1].type, world.events[-1].reason) == ("EXECUTION_RELEASED", "repaired")
    assert world.hints == {TaskKey("a")}
    assert world.row("a").wake_time == world.now + timedelta(seconds=4.75)
    assert world.row("b").wake_time == world.now + timedelta(seconds=0.75)
    assert world.execution.timeout_time == world.now + timedelta(seconds=59.75)


def test_a_claim_whose_lease_ran_out_in_a_quarantine_is_lost_after_the_release() -> None:
    world = running()
    world.quarantine()
    world.sleep(1_000)
    assert world.status("a") == "RUNNING"
    world.release()
    world.fire()

    assert (world.status("a"), world.row("a").lost_attempts) == ("READY", 1)


def test_a_second_quarantine_and_a_second_release_change_nothing() -> None:
    world = running()
    world.quarantine("first")
    version = world.execution.state_version
    assert world.quarantine("second") is Effect.UNCHANGED
    assert world.execution.quarantine is not None
    assert world.execution.quarantine.reason == "first"

    world.release()

    assert world.release() is Effect.UNCHANGED
    assert world.execution.state_version == version + 1


def test_an_execution_may_be_quarantined_again_after_its_release() -> None:
    world = running()
    for _ in range(2):
        world.quarantine()
        world.release()
    assert world.event_types()[-2:] == ["EXECUTION_QUARANTINED", "EXECUTION_RELEASED"]
    world.work("x")


def test_a_quarantine_and_a_release_load_no_task_however_many_there_are() -> None:
    world = World(plan_of("a", a=Task(for_each=list(range(2_000)))), thorough=False)
    loads = world.loads
    world.quarantine()
    world.release()

    assert world.loads == loads + 2, "one empty preload each"


def test_the_reason_is_cut_to_what_is_kept() -> None:
    world = running()
    world.quarantine("é" * MAX_QUARANTINE_REASON_BYTES)

    assert world.execution.quarantine is not None
    assert world.execution.quarantine.reason == "é" * (MAX_QUARANTINE_REASON_BYTES // 2)


# -- results ---------------------------------------------------------------------------------------


def test_a_result_in_a_quarantine_is_recorded_and_what_follows_waits_for_the_release() -> None:
    world = running()
    world.quarantine()
    assert world.succeed(world.leases[0], 5) is Effect.APPLIED
    assert world.statuses() == {"a": "SUCCEEDED", "b": "READY", "x": "READY"}
    assert world.try_claim("b") is None
    world.hints.clear()
    world.release()

    assert world.hints == {TaskKey("b"), TaskKey("x")}


def test_a_failed_attempt_in_a_quarantine_backs_off_from_the_release_on() -> None:
    world = running()
    world.quarantine()
    world.fail(world.leases[0])
    assert world.row("a").frozen == timedelta(seconds=1)
    world.sleep(1_000)
    world.release()

    assert world.row("a").wake_time == world.now + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("graph", "report", "status"),
    [
        ("a", lambda world: world.succeed(world.leases[0]), "COMPLETED"),
        ("a, x", lambda world: world.fail(world.leases[0]), "FAILED"),
    ],
)
def test_a_result_that_can_be_decided_may_end_a_quarantined_execution(
    graph: str, report: Step, status: str
) -> None:
    world = running(graph, a=Task(retry=NO_RETRY))
    world.quarantine()
    report(world)

    assert (world.execution.status, world.execution.quarantine) == (status, None)


def test_a_result_that_needs_the_plan_is_not_recorded_while_nobody_can_read_it() -> None:
    world = running()
    world.quarantine()
    without_the_plan(world)
    before = world.execution.copy()

    with pytest.raises(PlanUnavailableError, match="nobody can read it"):
        world.succeed(world.leases[0])
    assert (world.execution, world.status("a")) == (before, "RUNNING")
