"""Leases of claims and of worker processes, and the secret of a claim."""

import json

from execution_orchestrator.domain import commands
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.retry_policy import RetryPolicy
from execution_orchestrator.domain.state_machine import AttemptStatus

from tests.unit.orchestrator.domain.plans import Task, plan_of
from tests.unit.orchestrator.domain.world import LEASE_TTL, World, boot_of


def failure_type(world: World) -> str:
    failure = world.row("a").failure
    assert failure is not None
    return failure.type


def test_a_confirmed_claim_has_no_lease_of_its_own_and_is_lost_with_its_worker_process() -> None:
    world = World(plan_of("a", a=Task(start_to_close=300)))
    lease = world.claim("a")
    world.advance(10)
    assert world.renew(lease)
    row = world.row("a")
    assert (row.lease_expire_time, row.wake_time) == (None, row.close_time)

    world.sleep(LEASE_TTL.total_seconds())

    assert world.status("a") == "READY"
    assert [attempt.status for attempt in world.attempts] == [AttemptStatus.LOST]
    assert world.row("a").lost_attempts == 1
    assert world.succeed(lease) is Effect.STALE


def test_an_unconfirmed_claim_expires_by_itself_and_is_charged_too() -> None:
    """It may have been lost on its way, or its handler may have killed the worker: nobody can tell."""
    world = World(plan_of("a"))
    world.claim("a")
    assert world.lose("a") is Effect.UNCHANGED
    world.sleep(LEASE_TTL.total_seconds())

    assert (world.status("a"), world.row("a").lost_attempts) == ("READY", 1)


def test_a_claim_that_has_a_lease_of_its_own_again_is_not_lost_with_its_worker_process() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    world.renew(lease)
    world.renew(lease, confirms=False)

    assert world.lose("a") is Effect.UNCHANGED
    assert world.status("a") == "RUNNING"


def test_the_reaper_loses_no_other_claim_than_the_one_it_has_found() -> None:
    world = World(plan_of("a"))
    world.renew(world.claim("a"))

    assert world.lose("a", epoch=0) is Effect.UNCHANGED
    assert world.lose("a", boot_id=boot_of("w2")) is Effect.UNCHANGED
    assert world.lose("a") is Effect.APPLIED
    assert world.lose("a") is Effect.UNCHANGED


def test_a_late_reaper_leaves_the_charge_to_the_deadline_that_came_first() -> None:
    world = World(plan_of("a", a=Task(start_to_close=20)))
    lease = world.claim("a")
    world.renew(lease)
    world.advance(1_000)

    assert world.lose("a") is Effect.APPLIED
    assert failure_type(world) == "StartToCloseTimeout"


def test_a_lease_and_start_to_close_that_end_together_are_a_timeout_of_the_task() -> None:
    world = World(plan_of("a", a=Task(start_to_close=LEASE_TTL.total_seconds())))
    world.claim("a")
    world.sleep(LEASE_TTL.total_seconds())

    assert failure_type(world) == "StartToCloseTimeout"
    assert (world.row("a").failed_attempts, world.row("a").lost_attempts) == (1, 0)


def test_a_worker_that_is_lost_during_a_cancel_fails_nothing_though_its_budget_is_used_up() -> None:
    for confirmed in (False, True):
        world = World(plan_of("a", a=Task(retry=RetryPolicy(maximum_lost_attempts=0))))
        lease = world.claim("a")
        if confirmed:
            world.renew(lease)
        world.cancel(grace=300)
        world.sleep(LEASE_TTL.total_seconds())
        assert (world.execution.status, world.status("a")) == ("CANCELLED", "CANCELLED")


def test_a_report_needs_the_token_of_its_claim() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    for token in (b"", b"guessed", lease.token + b"x"):
        report = commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1"), token)
        assert world.run(report).effect is Effect.STALE
    assert world.succeed(lease, "right") is Effect.APPLIED
    assert world.row("a").output == json.dumps("right")

    forged = commands.ReportTask(lease.key, lease.epoch, commands.Succeeded("1"), b"guessed")

    assert world.run(forged).effect is Effect.STALE


def test_a_claim_that_is_repeated_gets_the_same_lease_and_starts_nothing_twice() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    command = commands.ClaimTask(lease.key, "w1", boot_of("w1"), LEASE_TTL, lease.token)
    events = list(world.events)
    decision = world.run(command)
    assert (decision.effect, decision.lease) == (Effect.UNCHANGED, lease)
    world.pause()
    assert world.run(command).lease == lease
    assert world.events[: len(events)] == events
    assert world.event_types().count("TASK_STARTED") == 1

    world.succeed(lease)

    assert world.run(command).lease is None


def test_another_claim_of_a_task_that_runs_gets_nothing() -> None:
    world = World(plan_of("a"))
    world.claim("a")

    assert world.try_claim("a", worker="w2") is None


def test_no_text_about_a_claim_shows_its_token() -> None:
    world = World(plan_of("a"))
    lease = world.claim("a")
    secret = lease.token.decode()
    report = commands.ReportTask(lease.key, lease.epoch, commands.Cancelled(), lease.token)
    claim = commands.ClaimTask(lease.key, "w1", boot_of("w1"), LEASE_TTL, lease.token)

    assert secret not in f"{lease} {report} {claim} {world.row('a')} {world.events}"
