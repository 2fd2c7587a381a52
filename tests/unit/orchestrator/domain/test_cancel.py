"""Cancel: it ends in bounded time, whatever workers do."""

from datetime import timedelta

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.state_machine import AttemptStatus

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import START, World


def test_with_nothing_in_flight_a_cancel_is_final_at_once() -> None:
    world = World(plan_of("a -> b"))
    world.cancel(reason="not wanted")

    assert world.execution.status == "CANCELLED"
    assert world.execution.cancel_reason == "not wanted"
    assert world.event_types() == ["EXECUTION_CREATED", "CANCEL_REQUESTED", "EXECUTION_CANCELLED"]
    assert world.events[-1].reason == "not wanted"


def test_what_waits_is_cancelled_at_once_and_what_is_in_flight_has_the_grace() -> None:
    world = World(plan_of("a -> b, c, d", d=Task(for_each=[1, 2], max_parallel=1)))
    lease = world.claim("a")

    world.cancel(grace=30)

    assert world.execution.status == "RUNNING"
    assert world.execution.cancel_deadline == world.now + timedelta(seconds=30)
    assert world.execution.wake_time == world.execution.cancel_deadline
    assert {task for task, status in world.statuses().items() if status != "CANCELLED"} == {"a"}
    assert world.succeed(lease, 7) is Effect.APPLIED, "a result before the deadline is recorded"
    assert world.row("a").output == "7"
    assert world.status("b") == "CANCELLED"
    assert world.execution.status == "CANCELLED"


@pytest.mark.parametrize("outcome", [commands.Cancelled(), commands.HandedBack()])
def test_a_handler_that_stops_on_a_cancel_is_cancelled(outcome: commands.TaskOutcome) -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    world.cancel()
    world.report(lease, outcome)

    assert world.statuses() == {"a": "CANCELLED"}
    assert world.execution.status == "CANCELLED"
    assert world.event_types()[-2:] == ["TASK_CANCELLED", "EXECUTION_CANCELLED"]
    assert len(world.attempts) == 1


def test_a_hung_handler_is_cancelled_at_the_deadline_without_its_worker() -> None:
    world = World(plan_of("a, b"))
    lease = world.claim("a")
    world.cancel(grace=10)
    world.advance(9.999)
    assert world.wake_execution() is Effect.UNCHANGED

    world.advance(0.001)

    assert world.wake_execution() is Effect.APPLIED
    assert world.execution.status == "CANCELLED"
    assert world.attempts[-1].status is AttemptStatus.CANCELLED
    assert world.row("a").epoch == lease.epoch + 1
    assert world.succeed(lease) is Effect.STALE, "a result after the deadline is refused"


def test_a_failure_while_cancelling_is_not_retried_and_does_not_fail_the_execution() -> None:
    world = World(plan_of("a, b"))
    first, second = world.claim("a"), world.claim("b")
    world.cancel()
    world.fail(first)
    assert world.status("a") == "FAILED"
    failure = world.row("a").failure
    assert failure is not None
    assert failure.retry_state == "cancel requested"

    world.succeed(second)

    assert world.execution.status == "CANCELLED"
    assert world.execution.failure is None


def test_a_worker_lost_while_cancelling_ends_the_wait() -> None:
    world = World(plan_of("a"))
    world.claim("a")
    world.advance(20)
    world.cancel(grace=30)
    world.advance(10)
    world.wake("a")

    assert world.execution.status == "CANCELLED"
    assert world.attempts[-1].status is AttemptStatus.LOST


def test_a_second_cancel_only_hurries() -> None:
    world = World(plan_of("a"))
    world.claim("a")

    world.cancel(grace=30)

    assert world.cancel(grace=60) is Effect.UNCHANGED
    assert world.execution.cancel_deadline == START + timedelta(seconds=30)
    assert world.cancel(grace=5) is Effect.APPLIED
    assert world.execution.cancel_deadline == START + timedelta(seconds=5)
    assert world.cancel(grace=0) is Effect.APPLIED
    assert world.execution.status == "CANCELLED"
    assert world.cancel() is Effect.UNCHANGED
    assert world.event_types().count("CANCEL_REQUESTED") == 1


def test_no_grace_is_longer_than_ten_minutes() -> None:
    world = World(plan_of("a"))
    world.claim("a")
    world.cancel(grace=1_000_000)

    assert world.execution.cancel_deadline == START + timedelta(minutes=10)


def test_cancel_works_while_paused() -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    world.pause()
    world.cancel(grace=30)
    assert world.execution.status == "PAUSED"
    assert world.execution.wake_time == START + timedelta(seconds=30)

    world.report(lease, commands.Cancelled())

    assert world.execution.status == "CANCELLED"
    assert world.execution.pause is None


def test_a_cancel_ends_what_would_have_failed_at_resume_as_cancelled() -> None:
    world = World(plan_of("a", a=Task(retry=NO_RETRY)))
    lease = world.claim("a")
    world.pause()
    world.fail(lease)
    world.cancel()

    assert world.execution.status == "CANCELLED"
    assert world.execution.failure is None, "the failure stays with its task"
    assert world.row("a").failure is not None


def test_while_cancelling_the_execution_timeout_is_over() -> None:
    """Its timer would else fire in vain, again and again, until the grace is over."""
    world = World(plan_of("a", timeout=40))
    lease = world.claim("a")
    world.cancel(grace=600)
    world.advance(25)
    world.renew(lease)
    world.advance(25)

    assert world.wake_execution() is Effect.UNCHANGED
    assert world.execution.wake_time == START + timedelta(seconds=600)


def test_cancelling_ten_thousand_queued_tasks_loads_none_of_them() -> None:
    world = World(plan_of("a", a=Task(for_each=list(range(10_000)))), thorough=False)
    loads = world.loads
    world.cancel()

    assert world.loads == loads + 1, "the empty preload"
    assert world.execution.tasks_cancelled == 10_001


def test_a_worker_that_is_lost_during_a_cancel_leaves_its_task_cancelled_not_exhausted() -> None:
    """Even if the budget of lost attempts is used up: nobody wants the task any more."""
    world = World(plan_of("a", a=Task(retry=NO_RETRY)))
    world.claim("a")
    world.cancel(grace=300)
    world.sleep(31)

    task = world.row("a")

    assert (task.status, task.lost_attempts) == ("CANCELLED", 1)
    assert task.failure is not None
    assert task.failure.retry_state == ""
    assert (world.execution.status, world.execution.tasks_failed) == ("CANCELLED", 0)
    assert "TASK_FAILED" not in world.event_types()
