"""Pause and resume: nothing starts, nothing is lost, no clock runs on."""

from datetime import timedelta

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decision import BulkChange, Effect
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import World

QUIESCED = "EXECUTION_QUIESCED"


def failing(graph: str = "a, b") -> World:
    """A world whose task `a` fails for good at its first failure."""
    return World(plan_of(graph, a=Task(retry=NO_RETRY)))


def test_pause_takes_everything_from_the_queue_and_resume_puts_it_back() -> None:
    world = World(plan_of("a, b"))
    assert world.pause(reason="maintenance", actor="sam") is Effect.APPLIED
    assert world.execution.status == "PAUSED"
    assert world.execution.pause is not None
    assert (world.execution.pause.mode, world.execution.pause.clock_policy) == ("DRAIN", "FREEZE")
    assert (world.execution.pause.reason, world.execution.pause.actor) == ("maintenance", "sam")
    assert world.event_types()[-2:] == ["EXECUTION_PAUSED", QUIESCED]

    world.hints.clear()

    assert world.resume() is Effect.APPLIED
    assert world.execution.status == "PENDING", "the status it had"
    assert world.hints == {TaskKey("a"), TaskKey("b")}


def test_pausing_twice_and_resuming_twice_are_no_ops() -> None:
    world = World(plan_of("a"))
    world.pause()
    version = world.execution.state_version
    assert world.pause() is Effect.UNCHANGED
    assert world.execution.state_version == version
    world.resume()

    assert world.resume() is Effect.UNCHANGED
    assert world.execution.state_version == version + 1


def test_attempts_in_flight_finish_while_paused_and_their_results_are_kept() -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    world.pause()
    assert QUIESCED not in world.event_types()
    assert world.succeed(lease, 5) is Effect.APPLIED
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
def test_a_pause_while_a_report_is_on_its_way_loses_nothing(outcome: commands.TaskOutcome) -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    world.join_batch = True
    world.pause()
    assert world.report(lease, outcome) is Effect.APPLIED
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
    assert world.bulk[-1] is BulkChange.CANCEL_ALL, "nothing is thawed only to be closed"
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
    assert world.wake("a") is Effect.UNCHANGED


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
