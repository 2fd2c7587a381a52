"""Pause, resume, cancel: each ends in bounded time, whatever workers do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decision import BulkChange, Outcome
from execution_orchestrator.domain.errors import StatusConflictError
from execution_orchestrator.domain.state_machine import AttemptStatus
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import START, World

QUIESCED = "EXECUTION_QUIESCED"


def failing(graph: str = "a, b") -> World:
    """A world whose task `a` fails for good at its first failure."""
    return World(plan_of(graph, a=Task(retry=NO_RETRY)))


# -- pause and resume -------------------------------------------------------------------------------


def test_pause_takes_everything_from_the_queue_and_resume_puts_it_back() -> None:
    world = World(plan_of("a, b"))
    assert world.pause(reason="maintenance", actor="sam") is Outcome.APPLIED
    assert world.execution.status == "PAUSED"
    assert world.execution.pause is not None
    assert (world.execution.pause.mode, world.execution.pause.clock_policy) == ("DRAIN", "FREEZE")
    assert (world.execution.pause.reason, world.execution.pause.actor) == ("maintenance", "sam")
    assert world.event_types()[-2:] == ["EXECUTION_PAUSED", QUIESCED]
    world.hints.clear()
    assert world.resume() is Outcome.APPLIED
    assert world.execution.status == "PENDING", "the status it had"
    assert world.hints == {TaskKey("a"), TaskKey("b")}


def test_pausing_twice_and_resuming_twice_are_no_ops() -> None:
    world = World(plan_of("a"))
    world.pause()
    version = world.execution.state_version
    assert world.pause() is Outcome.UNCHANGED
    assert world.execution.state_version == version
    world.resume()
    assert world.resume() is Outcome.UNCHANGED
    assert world.execution.state_version == version + 1


def test_attempts_in_flight_finish_while_paused_and_their_results_are_kept() -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    world.pause()
    assert QUIESCED not in world.event_types()
    assert world.succeed(lease, 5) is Outcome.APPLIED
    assert world.statuses() == {"a": "SUCCEEDED", "b": "READY"}
    assert world.try_claim("b") is None
    world.resume()
    assert world.execution.status == "RUNNING"
    world.work("b")
    assert world.execution.status == "COMPLETED"


def test_quiesced_is_told_exactly_once_for_each_pause() -> None:
    world = World(plan_of("a, b -> c, b -> d"))
    leases = [world.claim("a"), world.claim("b")]
    world.pause()
    world.succeed(leases[0])
    assert world.event_types().count(QUIESCED) == 0
    world.succeed(leases[1])
    assert world.event_types().count(QUIESCED) == 1
    assert world.execution.pause is not None
    assert world.execution.pause.quiesced_time == world.now
    world.resume()
    world.pause()
    assert world.event_types().count(QUIESCED) == 2


@pytest.mark.parametrize("outcome", [commands.HandedBack(), commands.Succeeded("1")])
def test_a_pause_while_a_report_is_on_its_way_loses_nothing(outcome: commands.Outcome) -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    world.join_batch = True
    world.pause()
    assert world.report(lease, outcome) is Outcome.APPLIED
    assert world.execution.status == "PAUSED"
    assert world.event_types()[-1] == QUIESCED
    world.resume()
    if world.status("a") == "READY":
        world.work("a")
    world.work("b")
    assert world.execution.status == "COMPLETED"


def test_a_worker_lost_while_paused_is_noticed_and_its_task_waits() -> None:
    world = World(plan_of("a"))
    world.claim("a")
    world.pause()
    world.sleep(31)
    assert world.status("a") == "READY"
    assert world.row("a").lost_attempts == 1
    assert world.event_types()[-1] == QUIESCED
    world.resume()
    world.work("a")
    assert world.execution.status == "COMPLETED"


def test_a_task_that_fails_while_paused_fails_the_execution_at_resume() -> None:
    world = failing("a, b")
    lease = world.claim("a")
    world.pause()
    world.fail(lease)
    assert world.execution.status == "PAUSED"
    assert world.status("a") == "FAILED"
    assert world.status("b") == "READY"
    world.resume()
    assert world.execution.status == "FAILED"
    assert world.event_types()[-2:] == ["EXECUTION_RESUMED", "EXECUTION_FAILED"]
    assert world.bulk[-1] is BulkChange.CLOSE_ALL, "nothing is thawed only to be closed"
    assert world.status("b") == "CANCELLED"


def test_work_that_ended_while_paused_completes_the_execution_at_resume() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    world.pause()
    world.succeed(lease)
    world.sleep(100_000)
    assert world.execution.status == "PAUSED"
    world.resume()
    assert world.execution.status == "COMPLETED"


def test_the_clock_of_the_queue_stands_still_while_paused() -> None:
    world = World(plan_of("a", a=Task(schedule_to_start=5)))
    world.advance(3)
    world.pause()
    world.sleep(1_000)
    world.resume()
    assert world.status("a") == "READY"
    assert world.row("a").wake_time == world.now + timedelta(seconds=2)
    world.sleep(2)
    assert world.status("a") == "FAILED"


def test_a_back_off_stands_still_while_paused_and_fires_once() -> None:
    world = World(plan_of("a"))
    world.fail(world.claim("a"))
    world.advance(0.25)
    world.pause()
    world.sleep(1_000)
    assert world.status("a") == "BACKING_OFF"
    world.resume()
    assert world.row("a").wake_time == world.now + timedelta(seconds=0.75)
    world.sleep(0.75)
    assert world.status("a") == "READY"
    assert world.wake("a") is Outcome.UNCHANGED


def test_an_attempt_that_fails_while_paused_backs_off_from_the_resume_on() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    world.pause()
    world.fail(lease)
    assert world.row("a").frozen == timedelta(seconds=1)
    retry = next(event for event in world.events if event.type == "TASK_RETRY_SCHEDULED")
    assert retry.next_attempt_time is None, "that is not known before the resume"
    world.sleep(1_000)
    world.resume()
    assert world.row("a").wake_time == world.now + timedelta(seconds=1)


def test_the_execution_timeout_stands_still_while_paused() -> None:
    world = World(plan_of("a", timeout=60))
    world.advance(50)
    world.pause()
    world.sleep(1_000)
    assert world.execution.status == "PAUSED"
    world.resume()
    assert world.execution.timeout_time == world.now + timedelta(seconds=10)
    world.sleep(10)
    assert world.execution.status == "FAILED"


def test_what_was_overdue_at_the_pause_is_overdue_at_the_resume() -> None:
    world = World(plan_of("a", timeout=60))
    world.advance(61)
    world.pause()
    world.resume()
    world.fire()
    assert world.execution.status == "FAILED"


def test_a_pause_loads_no_task_however_many_there_are() -> None:
    world = World(plan_of("a", a=Task(for_each=list(range(2_000)))), thorough=False)
    loads = world.loads
    world.pause()
    world.resume()
    assert world.loads == loads + 2, "one empty preload each"


# -- cancel -----------------------------------------------------------------------------------------


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
    assert world.succeed(lease, 7) is Outcome.APPLIED, "a result before the deadline is recorded"
    assert world.row("a").output == "7"
    assert world.status("b") == "CANCELLED"
    assert world.execution.status == "CANCELLED"


@pytest.mark.parametrize("outcome", [commands.Cancelled(), commands.HandedBack()])
def test_a_handler_that_stops_on_a_cancel_is_cancelled(outcome: commands.Outcome) -> None:
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
    assert world.wake_execution() is Outcome.UNCHANGED
    world.advance(0.001)
    assert world.wake_execution() is Outcome.APPLIED
    assert world.execution.status == "CANCELLED"
    assert world.attempts[-1].status is AttemptStatus.CANCELLED
    assert world.row("a").epoch == lease.epoch + 1
    assert world.succeed(lease) is Outcome.STALE, "a result after the deadline is refused"


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
    assert world.cancel(grace=60) is Outcome.UNCHANGED
    assert world.execution.cancel_deadline == START + timedelta(seconds=30)
    assert world.cancel(grace=5) is Outcome.APPLIED
    assert world.execution.cancel_deadline == START + timedelta(seconds=5)
    assert world.cancel(grace=0) is Outcome.APPLIED
    assert world.execution.status == "CANCELLED"
    assert world.cancel() is Outcome.UNCHANGED
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
    world = failing("a")
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
    assert world.wake_execution() is Outcome.UNCHANGED
    assert world.execution.wake_time == START + timedelta(seconds=600)


def test_cancelling_ten_thousand_queued_tasks_loads_none_of_them() -> None:
    world = World(plan_of("a", a=Task(for_each=list(range(10_000)))), thorough=False)
    loads = world.loads
    world.cancel()
    assert world.loads == loads + 1, "the empty preload"
    assert world.execution.tasks_cancelled == 10_001


# -- what is refused --------------------------------------------------------------------------------


def completed() -> World:
    world = World(plan_of("a"))
    world.work("a")
    return world


def failed() -> World:
    world = failing("a")
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
