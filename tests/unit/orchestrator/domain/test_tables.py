"""Every row of both tables is taken by some command, and nothing that is not a row can be."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple, TypeAlias

import pytest
from execution_orchestrator.domain.errors import IllegalTransitionError
from execution_orchestrator.domain.state_machine import (
    EXECUTION_TRANSITIONS,
    FINAL_EXECUTION_STATUSES,
    FINAL_TASK_STATUSES,
    TASK_TRANSITIONS,
    ExecutionStatus,
    ExecutionTrigger,
    TaskStatus,
    TaskTrigger,
    next_execution_status,
    next_task_status,
)

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import World

E: TypeAlias = ExecutionStatus
On: TypeAlias = ExecutionTrigger
T: TypeAlias = TaskStatus
When: TypeAlias = TaskTrigger


class Moved(NamedTuple):
    """A world, and the statuses before its last step."""

    world: World
    execution_before: E
    task_before: T


Story = Callable[[], Moved]


def one_task(task: Task | None = None, timeout: float = 86_400) -> World:
    return World(plan_of("a", a=task or Task(), timeout=timeout))


def then(world: World, *steps: Callable[[World], object]) -> Moved:
    """The world after these steps."""
    for step in steps[:-1]:
        step(world)
    before = world.execution.status, world.row("a").status
    steps[-1](world)
    return Moved(world, *before)


def claim(world: World) -> None:
    world.claim("a")


def succeed(world: World) -> None:
    world.succeed(world.leases[-1])


def fail(world: World) -> None:
    world.fail(world.leases[-1])


def cancel_now(world: World) -> None:
    world.cancel(grace=0)


def sleep(seconds: float) -> Callable[[World], None]:
    return lambda world: world.sleep(seconds)


EXECUTION_STORIES: dict[tuple[E, On], Story] = {
    (E.PENDING, On.START): lambda: then(one_task(), claim),
    (E.PENDING, On.PAUSE): lambda: then(one_task(), World.pause),
    (E.PENDING, On.FAIL): lambda: then(one_task(Task(schedule_to_start=5)), sleep(5)),
    (E.PENDING, On.TIME_OUT): lambda: then(one_task(timeout=9), sleep(9)),
    (E.PENDING, On.CANCEL): lambda: then(one_task(), World.cancel),
    (E.RUNNING, On.PAUSE): lambda: then(one_task(), claim, World.pause),
    (E.RUNNING, On.COMPLETE): lambda: then(one_task(), claim, succeed),
    (E.RUNNING, On.FAIL): lambda: then(one_task(Task(retry=NO_RETRY)), claim, fail),
    (E.RUNNING, On.TIME_OUT): lambda: then(one_task(timeout=9), claim, sleep(9)),
    (E.RUNNING, On.CANCEL): lambda: then(one_task(), claim, cancel_now),
    (E.PAUSED, On.RESUME_PENDING): lambda: then(one_task(), World.pause, World.resume),
    (E.PAUSED, On.RESUME_RUNNING): lambda: then(one_task(), claim, World.pause, World.resume),
    (E.PAUSED, On.CANCEL): lambda: then(one_task(), claim, World.pause, cancel_now),
}

ONE_ITEM = Task(for_each=[1])


def with_parent(task: Task) -> World:
    """`a` waits for another task."""
    return World(plan_of("first -> a", a=task))


def work_first(world: World) -> None:
    world.work("first")


def work_item(world: World) -> None:
    world.work(("a", 0))


def lose_worker(world: World) -> None:
    world.sleep(30)


TASK_STORIES: dict[tuple[T, When], Story] = {
    (T.BLOCKED, When.UNBLOCK): lambda: then(with_parent(Task()), work_first),
    (T.BLOCKED, When.SKIP): lambda: then(with_parent(Task(when="${1 > 2}")), work_first),
    (T.BLOCKED, When.EXPAND): lambda: then(with_parent(ONE_ITEM), work_first),
    (T.BLOCKED, When.FAIL): lambda: then(with_parent(Task(input="${input.nothing}")), work_first),
    (T.BLOCKED, When.CANCEL): lambda: then(with_parent(Task()), World.cancel),
    (T.READY, When.CLAIM): lambda: then(one_task(), claim),
    (T.READY, When.FAIL): lambda: then(one_task(Task(schedule_to_start=5)), sleep(5)),
    (T.READY, When.CANCEL): lambda: then(one_task(), World.cancel),
    (T.RUNNING, When.SUCCEED): lambda: then(one_task(), claim, succeed),
    (T.RUNNING, When.RETRY): lambda: then(one_task(), claim, fail),
    (T.RUNNING, When.REQUEUE): lambda: then(one_task(), claim, lose_worker),
    (T.RUNNING, When.FAIL): lambda: then(one_task(Task(retry=NO_RETRY)), claim, fail),
    (T.RUNNING, When.CANCEL): lambda: then(one_task(), claim, cancel_now),
    (T.BACKING_OFF, When.BACK_OFF_OVER): lambda: then(one_task(), claim, fail, sleep(1)),
    (T.BACKING_OFF, When.CANCEL): lambda: then(one_task(), claim, fail, World.cancel),
}


@pytest.mark.parametrize("row", EXECUTION_TRANSITIONS, ids=lambda row: f"{row[0]}-{row[1].name}")
def test_every_row_of_the_execution_table_is_taken(row: tuple[E, On]) -> None:
    world, before, _ = EXECUTION_STORIES[row]()

    assert before is row[0]
    assert world.execution.status is EXECUTION_TRANSITIONS[row]


@pytest.mark.parametrize("row", TASK_TRANSITIONS, ids=lambda row: f"{row[0]}-{row[1].name}")
def test_every_row_of_the_task_table_is_taken(row: tuple[T, When]) -> None:
    world, _, before = TASK_STORIES[row]()

    assert before is row[0]
    assert world.row("a").status is TASK_TRANSITIONS[row]


@pytest.mark.parametrize(("status", "trigger"), sorted(set(product(E, On)) - set(EXECUTION_TRANSITIONS)))
def test_an_execution_takes_no_other_step(status: E, trigger: On) -> None:
    with pytest.raises(IllegalTransitionError, match=f"nothing leads from {status}"):
        next_execution_status(status, trigger)


@pytest.mark.parametrize(("status", "trigger"), sorted(set(product(T, When)) - set(TASK_TRANSITIONS)))
def test_a_task_takes_no_other_step(status: T, trigger: When) -> None:
    with pytest.raises(IllegalTransitionError, match=f"nothing leads from {status}"):
        next_task_status(status, trigger)


def test_nothing_leads_out_of_what_is_final() -> None:
    assert not FINAL_EXECUTION_STATUSES & {status for status, _ in EXECUTION_TRANSITIONS}
    assert not FINAL_TASK_STATUSES & {status for status, _ in TASK_TRANSITIONS}


def test_the_steps_of_an_execution_are_those_that_the_users_wrote_down() -> None:
    """Pending may also fail: a job that nobody takes, and a deadline, do not wait for a worker."""
    edges = {(before, after) for (before, _), after in EXECUTION_TRANSITIONS.items()}
    assert edges == {
        (E.PENDING, E.RUNNING),
        (E.PENDING, E.PAUSED),
        (E.PENDING, E.FAILED),
        (E.PENDING, E.CANCELLED),
        (E.RUNNING, E.COMPLETED),
        (E.RUNNING, E.FAILED),
        (E.RUNNING, E.CANCELLED),
        (E.RUNNING, E.PAUSED),
        (E.PAUSED, E.PENDING),
        (E.PAUSED, E.RUNNING),
        (E.PAUSED, E.CANCELLED),
    }


def test_the_steps_of_a_task_are_these() -> None:
    edges = {(before, after) for (before, _), after in TASK_TRANSITIONS.items()}
    assert edges == {
        (T.BLOCKED, T.READY),
        (T.BLOCKED, T.RUNNING),
        (T.BLOCKED, T.SKIPPED),
        (T.BLOCKED, T.FAILED),
        (T.BLOCKED, T.CANCELLED),
        (T.READY, T.RUNNING),
        (T.READY, T.FAILED),
        (T.READY, T.CANCELLED),
        (T.RUNNING, T.SUCCEEDED),
        (T.RUNNING, T.BACKING_OFF),
        (T.RUNNING, T.READY),
        (T.RUNNING, T.FAILED),
        (T.RUNNING, T.CANCELLED),
        (T.BACKING_OFF, T.READY),
        (T.BACKING_OFF, T.CANCELLED),
    }


def test_a_fan_out_takes_the_steps_of_its_parent() -> None:
    assert then(with_parent(ONE_ITEM), work_first, work_item).world.status("a") == "SUCCEEDED"
