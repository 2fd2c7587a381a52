"""What the status does not allow, and what comes too late."""

from collections.abc import Callable

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.errors import StatusConflictError
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import World


def completed() -> World:
    world = World(plan_of("a"))
    world.work("a")
    return world


def failed() -> World:
    world = World(plan_of("a", a=Task(retry=NO_RETRY)))
    world.fail(world.claim("a"))
    return world


def cancelled() -> World:
    world = World(plan_of("a"))
    world.cancel()
    return world


def cancelling() -> World:
    world = World(plan_of("a"))
    world.claim("a")
    world.cancel()
    return world


def cancelling_while_paused() -> World:
    world = World(plan_of("a"))
    world.claim("a")
    world.pause()
    world.cancel()
    return world


@pytest.mark.parametrize(
    ("story", "steer", "message"),
    [
        (completed, World.pause, "PauseExecution is not possible: the execution is COMPLETED"),
        (completed, World.resume, "ResumeExecution is not possible: the execution is COMPLETED"),
        (completed, World.cancel, "CancelExecution is not possible: the execution is COMPLETED"),
        (failed, World.cancel, "start a new execution if the work is still wanted"),
        (cancelled, World.pause, "the execution is CANCELLED"),
        (cancelled, World.resume, "the execution is CANCELLED"),
        (cancelling, World.pause, "a cancel is under way, so wait for Cancelled"),
        (cancelling_while_paused, World.resume, "a cancel is under way, so wait for Cancelled"),
    ],
)
def test_what_the_status_does_not_allow_is_refused_with_advice(
    story: Callable[[], World], steer: Callable[[World], object], message: str
) -> None:
    world = story()
    before = world.execution.copy()

    with pytest.raises(StatusConflictError, match=message):
        steer(world)
    assert world.execution == before


@pytest.mark.parametrize("story", [completed, failed, cancelled])
def test_nothing_that_comes_late_changes_what_is_final(story: Callable[[], World]) -> None:
    world = story()
    before, events = world.execution.copy(), list(world.events)
    world.advance(100_000)
    for epoch in range(4):
        world.run(commands.ReportTask(TaskKey("a"), epoch, commands.Succeeded("1")))
    world.try_claim("a")
    world.wake("a")

    world.wake_execution()

    assert world.execution == before
    assert world.events == events
