"""When a time has come: leases, timeouts, back-offs. The row decides what is due, not who woke it."""

from datetime import timedelta

import pytest
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.retry_policy import RetryPolicy
from execution_orchestrator.domain.state_machine import AttemptStatus

from tests.unit.orchestrator.domain.plans import STEADY, Task, plan_of
from tests.unit.orchestrator.domain.world import LEASE_TTL, World


def failure_type(world: World, task: str = "a") -> str:
    failure = world.row(task).failure
    assert failure is not None
    return failure.type


def test_a_timer_that_comes_too_early_does_nothing() -> None:
    world = World(plan_of("a"))
    world.claim("a")
    world.advance(LEASE_TTL.total_seconds() - 0.001)
    assert world.wake("a") is Effect.UNCHANGED
    world.advance(0.001)

    assert world.wake("a") is Effect.APPLIED


def test_two_orchestrators_that_recover_the_same_lease_recover_it_once() -> None:
    world = World(plan_of("a"))
    world.claim("a")
    world.advance(30)
    assert world.wake("a") is Effect.APPLIED
    assert world.wake("a") is Effect.UNCHANGED
    row = world.row("a")

    assert (row.lost_attempts, row.epoch, row.status) == (1, 2, "READY")


def test_a_lost_worker_is_charged_to_its_own_budget() -> None:
    world = World(plan_of("a", a=Task(retry=RetryPolicy(maximum_attempts=1))))
    for number in range(1, 6):
        world.claim("a")
        world.sleep(30)
        assert world.row("a").lost_attempts == number
        assert world.status("a") == "READY"
    assert world.row("a").failed_attempts == 0
    assert {attempt.status for attempt in world.attempts} == {AttemptStatus.LOST}

    world.work("a")

    assert world.execution.status == "COMPLETED"


def test_a_poison_task_does_not_loop_for_ever() -> None:
    world = World(plan_of("a", a=Task(retry=RetryPolicy(maximum_lost_attempts=2))))
    for _ in range(3):
        world.claim("a")
        world.sleep(30)

    assert world.execution.status == "FAILED"
    assert failure_type(world) == "WorkerLost"
    assert world.execution.failure is not None
    assert world.execution.failure.retry_state == "lost attempts exhausted"


def test_a_renewed_lease_is_not_lost() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    world.advance(20)
    assert world.renew(lease)
    world.sleep(29)
    assert world.status("a") == "RUNNING"
    world.sleep(1)

    assert world.status("a") == "READY"


def test_start_to_close_ends_an_attempt_however_often_its_lease_was_renewed() -> None:
    world = World(plan_of("a", a=Task(start_to_close=50)))
    lease = world.claim("a")
    for _ in range(3):
        world.advance(15)
        world.renew(lease)

    world.sleep(5)

    assert failure_type(world) == "StartToCloseTimeout"
    assert world.status("a") == "BACKING_OFF"
    assert world.attempts[0].status is AttemptStatus.TIMED_OUT
    assert world.succeed(lease) is Effect.STALE


def test_a_timeout_on_attempt_2_is_measured_from_attempt_2() -> None:
    world = World(plan_of("a", a=Task(start_to_close=20)))
    world.claim("a")
    world.sleep(20)
    world.sleep(1)
    second = world.claim("a")
    world.sleep(19)
    assert world.status("a") == "RUNNING"

    world.sleep(1)

    assert world.row("a").failed_attempts == 2
    assert world.succeed(second) is Effect.STALE


def test_a_silent_handler_times_out_though_its_worker_lives() -> None:
    world = World(plan_of("a", a=Task(heartbeat=8)))
    lease = world.claim("a")
    world.advance(5)
    world.renew(lease, handler_alive=True)
    world.advance(7)
    world.renew(lease, handler_alive=False)
    assert world.wake("a") is Effect.UNCHANGED

    world.sleep(1)

    assert failure_type(world) == "HeartbeatTimeout"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task(start_to_close=60), "WorkerLost"),
        (Task(start_to_close=20), "StartToCloseTimeout"),
        (Task(start_to_close=60, heartbeat=25), "HeartbeatTimeout"),
        (Task(start_to_close=60, heartbeat=50), "WorkerLost"),
    ],
)
def test_the_first_deadline_decides_however_late_the_timer_is(task: Task, expected: str) -> None:
    """After an outage everything is overdue, and a dead worker is still no fault of the task."""
    world = World(plan_of("a", a=task))
    world.claim("a")
    world.sleep(1_000)

    assert failure_type(world) == expected


def test_a_job_that_no_worker_takes_fails_with_advice() -> None:
    world = World(plan_of("a", a=Task(schedule_to_start=5, type="orders.charge")))
    world.sleep(5)

    assert world.execution.status == "FAILED"
    assert world.execution.failure is not None
    assert world.execution.failure.type == "ScheduleToStartTimeout"
    assert "start workers that have `orders.charge`" in world.execution.failure.message
    assert world.execution.failure.retry_state == "waited too long in the queue"


def test_each_wait_in_the_queue_has_its_own_time() -> None:
    world = World(plan_of("a", a=Task(schedule_to_start=5)))
    world.advance(4)
    world.fail(world.claim("a"))
    world.sleep(1)
    world.sleep(4)
    assert world.status("a") == "READY"
    world.sleep(1)

    assert world.status("a") == "FAILED"


def test_the_execution_timeout_ends_everything() -> None:
    world = World(plan_of("a -> b, c", timeout=60))
    lease = world.claim("a")
    world.advance(59)
    assert world.wake_execution() is Effect.UNCHANGED

    world.advance(1)

    assert world.wake_execution() is Effect.APPLIED
    assert world.execution.status == "FAILED"
    assert world.execution.failure is not None
    assert world.execution.failure.type == "ExecutionTimeout"
    assert world.succeed(lease) is Effect.STALE
    assert world.wake_execution() is Effect.UNCHANGED


def test_waits_between_retries_grow_to_a_maximum_with_some_jitter() -> None:
    policy = RetryPolicy(maximum_interval=timedelta(seconds=5), jitter=0.2)
    waits = [policy.delay(number, f"seed{number}").total_seconds() for number in range(1, 12)]
    for wait, bare in zip(waits, [1, 2, 4, 5, 5, 5, 5, 5, 5, 5, 5], strict=True):
        assert bare * 0.8 <= wait <= bare * 1.2

    assert len({policy.delay(4, f"task{number}") for number in range(20)}) > 15
    assert policy.delay(4, "a") == policy.delay(4, "a")


def test_a_wait_does_not_overflow() -> None:
    assert STEADY.delay(1_000_000, "seed") == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        ("StartToCloseTimeout", AttemptStatus.TIMED_OUT),
        ("HeartbeatTimeout", AttemptStatus.TIMED_OUT),
        ("Boom", AttemptStatus.FAILED),
    ],
)
def test_a_timeout_that_the_worker_noticed_first_is_one_all_the_same(
    type_: str, status: AttemptStatus
) -> None:
    world = World(plan_of("a", a=Task(retry=STEADY)))
    world.fail(world.claim("a"), type_)

    assert [attempt.status for attempt in world.attempts] == [status]


def test_a_lease_and_an_attempt_that_end_at_the_same_instant_are_a_timeout_of_the_handler() -> None:
    """The handler had all its time, so the tie is charged to the retry policy and not to lost workers."""
    world = World(plan_of("a", a=Task(start_to_close=LEASE_TTL.total_seconds())))
    world.claim("a")
    assert world.row("a").lease_expire_time == world.row("a").close_time
    world.sleep(LEASE_TTL.total_seconds())
    task = world.row("a")

    assert (task.status, task.failed_attempts, task.lost_attempts) == ("BACKING_OFF", 1, 0)
    assert world.attempts[0].status == "TIMED_OUT"


def test_a_heartbeat_and_a_lease_that_end_at_the_same_instant_are_a_silent_handler() -> None:
    world = World(plan_of("a", a=Task(heartbeat=LEASE_TTL.total_seconds())))
    world.claim("a")
    assert world.row("a").silence_time == world.row("a").lease_expire_time
    world.sleep(LEASE_TTL.total_seconds())
    task = world.row("a")

    assert (task.failed_attempts, task.lost_attempts) == (1, 0)
    assert task.failure is not None
    assert task.failure.type == "HeartbeatTimeout"
