"""Claims and reports: the fence, retries, and what becomes of results."""

import json
from datetime import timedelta

import pytest
from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decide import decide
from execution_orchestrator.domain.decision import Decision, Effect, Snapshot
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.retry_policy import RetryPolicy
from execution_orchestrator.domain.state_machine import AttemptStatus
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import NO_RETRY, Task, plan_of
from tests.unit.orchestrator.domain.world import World


def test_one_task_runs_from_start_to_completed() -> None:
    world = World(plan_of("a"), {"x": 1})
    assert world.statuses() == {"a": "READY"}

    lease = world.claim("a", worker="w9")

    assert (lease.epoch, lease.attempt, json.loads(lease.input)) == (1, 1, {"x": 1})
    assert world.succeed(lease, {"y": 2}) is Effect.APPLIED
    assert world.execution.status == "COMPLETED"
    assert world.row("a").output == '{"y": 2}'
    assert world.row("a").worker_id == "w9"
    assert world.event_types() == [
        "EXECUTION_CREATED",
        "EXECUTION_STARTED",
        "TASK_STARTED",
        "TASK_SUCCEEDED",
        "EXECUTION_COMPLETED",
    ]
    assert world.attempts == [], "a success stands in its task's row"


def test_a_task_is_claimed_once() -> None:
    world = World(plan_of("a"))

    assert world.try_claim("a", worker="w1")
    assert world.try_claim("a", worker="w2") is None
    assert world.row("a").worker_id == "w1"


@pytest.mark.parametrize("steer", [World.pause, lambda world: world.cancel()])
def test_a_stale_hint_of_a_paused_or_cancelled_execution_claims_nothing(steer: object) -> None:
    world = World(plan_of("a"))
    steer(world)  # type: ignore[operator]

    assert world.try_claim("a") is None
    assert world.row("a").epoch == 0


def test_the_claim_itself_refuses_while_cancelling() -> None:
    """Whatever the rows say: the bulk change that closes them is not all that keeps a task from starting."""
    world = World(plan_of("a, b"))
    world.claim("a")
    ready = world.row("b").copy()
    world.cancel()
    snapshot = Snapshot(world.execution, world.plan, {ready.key: ready}, input="{}")
    command = commands.ClaimTask(ready.key, "w1", "boot", timedelta(seconds=30), b"secret")

    assert decide(snapshot, command, world.now) == Decision(world.execution)


def test_a_hint_of_a_task_that_needs_others_claims_nothing() -> None:
    world = World(plan_of("a -> b"))
    assert world.try_claim("b") is None


def test_a_duplicate_report_is_acknowledged_and_not_repeated() -> None:
    world = World(plan_of("a -> b"))
    lease = world.claim("a")
    assert world.succeed(lease, 1) is Effect.APPLIED
    version = world.execution.state_version

    assert world.succeed(lease, 2) is Effect.UNCHANGED
    assert world.execution.state_version == version
    assert world.row("a").output == "1"


def test_a_late_success_after_a_requeue_changes_nothing() -> None:
    world = World(plan_of("a"))
    late = world.claim("a")
    world.sleep(30)

    again = world.claim("a", worker="w2")

    assert again.epoch > late.epoch
    assert world.succeed(late, "late") is Effect.STALE
    assert world.status("a") == "RUNNING"
    assert world.succeed(again, "right") is Effect.APPLIED
    assert world.row("a").output == '"right"'


def test_a_late_failure_after_a_requeue_is_charged_to_nobody() -> None:
    world = World(plan_of("a", a=Task(retry=RetryPolicy(maximum_attempts=1))))
    late = world.claim("a")
    world.sleep(30)

    assert world.fail(late) is Effect.STALE
    assert world.row("a").failed_attempts == 0
    assert world.status("a") == "READY"


def test_a_report_with_an_epoch_of_the_future_changes_nothing() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    command = commands.ReportTask(lease.key, lease.epoch + 1, commands.Succeeded("1"), lease.token)

    assert world.run(command).effect is Effect.STALE


def test_a_report_for_a_fan_out_itself_changes_nothing() -> None:
    world = World(plan_of("a", a=Task(for_each=[1])))
    command = commands.ReportTask(TaskKey("a"), 0, commands.Succeeded("1"))

    assert world.run(command).effect is Effect.UNCHANGED
    assert world.status("a") == "RUNNING"


def test_a_failed_attempt_backs_off_longer_each_time_and_keeps_every_error() -> None:
    world = World(plan_of("a"))
    for number, wait in ((1, 1), (2, 2), (3, 4)):
        assert world.fail(world.claim("a"), f"Boom{number}") is Effect.APPLIED
        assert world.status("a") == "BACKING_OFF"
        assert world.execution.status == "RUNNING"
        assert world.row("a").wake_time == world.now + timedelta(seconds=wait)
        assert world.events[-1].next_attempt_time == world.row("a").wake_time
        world.sleep(wait)
        assert world.status("a") == "READY"

    world.fail(world.claim("a"), "Boom4")

    assert [attempt.failure.type for attempt in world.attempts if attempt.failure] == [
        "Boom1",
        "Boom2",
        "Boom3",
        "Boom4",
    ]
    assert world.execution.status == "FAILED"


def test_the_root_cause_says_where_it_happened_and_why_no_retry_followed() -> None:
    world = World(plan_of("a, b", a=Task(for_each=[1, 2], retry=NO_RETRY)))
    world.fail(world.claim(("a", 1)), "Boom")
    failure = world.execution.failure

    assert failure is not None
    assert (failure.type, failure.message, failure.task_id, failure.item) == ("Boom", "it broke", "a", 1)
    assert (failure.attempt, failure.retry_state) == (1, "attempts exhausted")
    assert world.events[-1].failure == failure


@pytest.mark.parametrize("non_retryable", [True, False])
def test_what_cannot_be_retried_fails_at_once(non_retryable: bool) -> None:
    policy = RetryPolicy(non_retryable_error_types=frozenset({"Fatal"}))
    world = World(plan_of("a", a=Task(retry=policy)))
    world.fail(world.claim("a"), "Boom" if non_retryable else "Fatal", non_retryable=non_retryable)

    assert world.execution.status == "FAILED"
    assert world.execution.failure is not None
    assert world.execution.failure.retry_state == "non-retryable"


def test_a_failure_for_good_cancels_the_siblings_and_leaves_nothing_queued() -> None:
    world = World(plan_of("a, b, c -> d, e", a=Task(retry=NO_RETRY), e=Task(for_each=[1, 2], max_parallel=1)))
    other = world.claim("b")

    world.fail(world.claim("a"))

    assert world.statuses() == {
        "a": "FAILED",
        "b": "CANCELLED",
        "c": "CANCELLED",
        "d": "CANCELLED",
        "e": "CANCELLED",
        "e[0]": "CANCELLED",
        "e[1]": "CANCELLED",
    }
    assert all(row.ready_time is None for row in world.rows.values())
    assert world.succeed(other) is Effect.STALE, "its worker was told to stop"
    assert [(a.key.task_id, a.status) for a in world.attempts] == [
        ("a", AttemptStatus.FAILED),
        ("b", AttemptStatus.CANCELLED),
    ]


def test_the_last_failure_stays_with_the_task_when_it_goes_on() -> None:
    world = World(plan_of("a"))
    world.fail(world.claim("a"))
    world.sleep(1)

    assert world.row("a").failure == Failure("Boom", "it broke", task_id="a", attempt=1), (
        "the wake-up does not load it, and must not wipe it"
    )


def test_a_task_handed_back_is_ready_again_and_charged_to_nobody() -> None:
    world = World(plan_of("a", a=Task(retry=NO_RETRY)))
    for number in range(1, 10):
        lease = world.claim("a")
        assert lease.attempt == number
        assert world.report(lease, commands.HandedBack()) is Effect.APPLIED
        assert world.status("a") == "READY"
        assert world.hints == {TaskKey("a")}

    row = world.row("a")

    assert (row.failed_attempts, row.lost_attempts) == (0, 0)
    assert {attempt.status for attempt in world.attempts} == {AttemptStatus.HANDED_BACK}


def test_a_handler_that_stops_unasked_is_charged_so_that_it_ends_some_day() -> None:
    world = World(plan_of("a"))
    for wait in (1, 2, 4):
        world.report(world.claim("a"), commands.Cancelled())
        world.sleep(wait)
    world.report(world.claim("a"), commands.Cancelled())

    assert world.execution.status == "FAILED"
    assert world.execution.failure is not None
    assert world.execution.failure.type == "HandlerCancelled"


def test_a_bad_result_is_a_failure_that_is_not_retried() -> None:
    world = World(plan_of("a"))

    assert world.report(world.claim("a"), commands.Succeeded('{"x": NaN}')) is Effect.REJECTED
    assert world.execution.failure is not None
    assert world.execution.failure.type == "PayloadInvalid"
    assert world.execution.failure.retry_state == "non-retryable"
    assert world.attempts[0].status is AttemptStatus.FAILED


def test_a_failures_text_is_cut_to_what_is_kept() -> None:
    world = World(plan_of("a", a=Task(retry=NO_RETRY)))
    world.report(world.claim("a"), commands.Failed(Failure("Boom", "x" * 100_000, details="→" * 100_000)))

    assert world.execution.failure is not None
    assert world.execution.failure.message == "x" * 32 * 1024
    assert world.execution.failure.details == "→" * (32 * 1024 // 3), "whole characters of three bytes"


def test_a_retry_has_the_same_input_and_idempotency_key() -> None:
    world = World(plan_of("a -> b", b=Task(input={"from": "${tasks.a.output}"})))
    world.work("a", 5)
    first = world.claim("b")
    world.fail(first)
    world.sleep(1)

    second = world.claim("b")

    assert first.input == second.input == '{"from":5}'
    assert first.idempotency_key == second.idempotency_key
    assert (first.attempt, second.attempt) == (1, 2)


def test_idempotency_keys_differ_between_items() -> None:
    world = World(plan_of("a", a=Task(for_each=[1, 2])))
    keys = {world.claim(("a", index)).idempotency_key for index in (0, 1)}

    assert keys == {f"{world.execution_id}/a/0", f"{world.execution_id}/a/1"}


def test_a_completion_loads_its_dependants_and_nothing_else() -> None:
    world = World(plan_of("a -> b, c -> d, e -> f, g -> h, i -> j"))
    lease = world.claim("a")
    loads = world.loads
    world.succeed(lease)

    assert world.loads - loads <= 3, "the empty preload, the task, and its dependants in one go"


def test_what_was_decided_earlier_in_the_batch_is_seen() -> None:
    """The output of `a` is not stored yet when `b` needs it, nor the input of `b` when it is claimed."""
    world = World(plan_of("a -> b", b=Task(input={"from": "${tasks.a.output}"})))
    lease = world.claim("a")
    world.join_batch = True
    world.succeed(lease, 5)

    assert world.claim("b").input == '{"from":5}'


def test_a_skipped_task_has_no_output_for_its_dependants_even_before_anything_is_stored() -> None:
    plan = plan_of(
        "a -> c, b -> c, e -> c",
        a=Task(when="${false}"),
        b=Task(for_each=[], input="${item}"),
        e=Task(for_each=[1], when="${false}"),
        c=Task(input=["${tasks.a.output}", "${tasks.b.output}", "${tasks.e.output}", "${tasks.a.status}"]),
    )
    assert World(plan).input_of("c") == [None, [], [], "SKIPPED"]
