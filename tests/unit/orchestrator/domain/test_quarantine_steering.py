"""Pause, resume and cancel of an execution that is quarantined, or whose plan nobody can read."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decision import BulkChange, Effect
from execution_orchestrator.domain.errors import PlanUnavailableError, StatusConflictError

from tests.unit.orchestrator.domain.plans import plan_of
from tests.unit.orchestrator.domain.test_quarantine import running, without_the_plan
from tests.unit.orchestrator.domain.world import World

Step = Callable[[World], object]


def test_a_paused_execution_that_is_quarantined_and_released_is_paused_still() -> None:
    world = running()
    world.advance(1)
    world.pause()
    world.quarantine()
    world.sleep(100)
    world.release()
    assert world.execution.status == "PAUSED"
    assert world.bulk[-1] is BulkChange.THAW_IN_FLIGHT
    assert (world.row("x").wake_time, world.row("x").frozen) == (None, timedelta(seconds=299))
    assert world.execution.timeout_time is None
    world.fire()
    assert world.status("a") == "READY", "its lease ran out meanwhile"

    world.resume()

    assert world.row("x").wake_time == world.now + timedelta(seconds=299)
    assert world.execution.timeout_time == world.now + timedelta(seconds=59)


def test_a_resume_leaves_a_quarantine_as_it_is() -> None:
    world = running()
    world.pause()
    world.quarantine()
    assert world.resume() is Effect.APPLIED
    assert world.execution.status == "RUNNING"
    assert world.try_claim("x") is None
    assert world.execution.wake_time is None
    world.release()

    world.work("x")


def test_a_quarantined_execution_that_is_paused_and_released_waits_for_the_resume() -> None:
    world = running()
    world.advance(1)
    world.quarantine()
    world.sleep(100)
    assert world.pause() is Effect.APPLIED
    world.release()
    assert world.try_claim("x") is None
    world.resume()
    assert world.row("x").wake_time == world.now + timedelta(seconds=299)
    assert world.execution.timeout_time == world.now + timedelta(seconds=59)

    world.work("x")


def test_a_paused_and_quarantined_execution_that_is_resumed_last_goes_on() -> None:
    world = running()
    world.quarantine()
    world.pause()
    world.resume()
    assert world.try_claim("x") is None
    world.release()
    world.work("x")


@pytest.mark.parametrize("prepare", [[World.quarantine], [World.pause, World.quarantine]])
def test_a_quarantined_execution_can_be_cancelled_without_its_plan(prepare: list[Step]) -> None:
    world = running()
    for step in prepare:
        step(world)
    without_the_plan(world)
    world.cancel(grace=30)
    assert world.statuses() == {"a": "RUNNING", "b": "CANCELLED", "x": "CANCELLED"}
    with pytest.raises(StatusConflictError, match="a cancel is under way"):
        world.release()
    assert world.quarantine() is Effect.UNCHANGED

    world.sleep(30)

    assert (world.execution.status, world.execution.quarantine) == ("CANCELLED", None)


def test_a_worker_that_stops_on_the_cancel_ends_a_quarantined_execution_at_once() -> None:
    world = running()
    world.quarantine()
    without_the_plan(world)
    world.cancel(grace=30)

    assert world.report(world.leases[0], commands.Cancelled()) is Effect.APPLIED
    assert world.execution.status == "CANCELLED"


def test_an_execution_that_is_being_cancelled_is_not_quarantined_as_it_ends_soon() -> None:
    world = running()
    world.cancel(grace=30)

    assert world.quarantine() is Effect.UNCHANGED
    assert world.execution.quarantine is None


def test_what_is_final_is_neither_quarantined_nor_released() -> None:
    world = World(plan_of("a"))
    world.work("a")
    before = world.execution.copy()

    assert world.quarantine() is Effect.UNCHANGED
    with pytest.raises(StatusConflictError, match="ReleaseExecution is not possible: the execution is COMPL"):
        world.release()
    assert world.execution == before


# -- without the plan ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [World.pause, World.cancel, World.quarantine, lambda world: world.cancel(grace=0)]
)
def test_pause_cancel_and_quarantine_need_no_plan(step: Step) -> None:
    world = without_the_plan(running())
    assert step(world) is Effect.APPLIED


def test_resume_and_release_need_no_plan_while_tasks_are_open() -> None:
    world = without_the_plan(running())
    world.pause()
    world.quarantine()

    assert world.resume() is Effect.APPLIED
    assert world.release() is Effect.APPLIED


def test_a_resume_that_would_complete_the_execution_needs_the_plan() -> None:
    world = running("a")
    world.pause()
    world.succeed(world.leases[0])
    without_the_plan(world)

    with pytest.raises(PlanUnavailableError):
        world.resume()
    assert world.execution.status == "PAUSED"


def test_the_execution_timeout_takes_effect_without_the_plan() -> None:
    world = running()
    without_the_plan(world)
    world.advance(60)

    world.wake_execution()

    assert world.execution.failure is not None
    assert (world.execution.status, world.execution.failure.message) == (
        "FAILED",
        "the execution took longer than its execution_timeout",
    )
