"""A transaction of the pipeline holds many small executions, or a few large payloads."""

from uuid import UUID

from execution_orchestrator.application.engine.weight import weight_of_decision, weight_of_work
from execution_orchestrator.application.engine.work import StartWork
from execution_orchestrator.domain.commands import ClaimTask, ReportTask, StartExecution, Succeeded
from execution_orchestrator.domain.decide import start
from execution_orchestrator.domain.decision import Decision
from execution_orchestrator.domain.limits import MAX_BATCH_COMMANDS, MAX_BATCH_WEIGHT
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.plans import plan_of
from tests.unit.orchestrator.domain.world import LEASE_TTL, START, World

ONE_TASK = plan_of("a", output="${tasks.a.output}")
MEBIBYTE = 1024 * 1024


def test_a_full_batch_of_small_starts_is_one_transaction() -> None:
    assert MAX_BATCH_COMMANDS * weight_of_decision(started(ONE_TASK, "{}")) < MAX_BATCH_WEIGHT
    assert MAX_BATCH_COMMANDS * weight_of_work(start_work(ONE_TASK, "{}")) < MAX_BATCH_WEIGHT


def test_a_full_batch_of_small_reports_and_the_claims_that_follow_them_is_one_transaction() -> None:
    world = World(ONE_TASK)
    claimed = world.run(ClaimTask(TaskKey("a"), "w1", "w1-boot", LEASE_TTL, b"token"))
    lease = claimed.lease
    assert lease is not None
    reported = world.run(ReportTask(lease.key, lease.epoch, Succeeded("1"), lease.token))
    both = weight_of_decision(reported) + weight_of_decision(claimed)

    assert MAX_BATCH_COMMANDS * both < MAX_BATCH_WEIGHT


def test_a_full_batch_of_reports_with_medium_payloads_is_one_transaction() -> None:
    """The output of the last task is also the output of the execution, so it is written twice."""
    world = World(ONE_TASK)
    claimed = world.run(ClaimTask(TaskKey("a"), "w1", "w1-boot", LEASE_TTL, b"token"))
    lease = claimed.lease
    assert lease is not None
    output = '"' + "x" * 10 * 1024 + '"'
    reported = world.run(ReportTask(lease.key, lease.epoch, Succeeded(output), lease.token))

    assert MAX_BATCH_COMMANDS * weight_of_decision(reported) < MAX_BATCH_WEIGHT


def test_few_of_the_largest_payloads_fill_a_transaction() -> None:
    large = '{"a": "' + "x" * MEBIBYTE + '"}'
    assert 8 <= MAX_BATCH_WEIGHT // weight_of_work(start_work(ONE_TASK, large)) <= 16


def started(plan: Plan, input_: str) -> Decision:
    return start(plan, start_work(plan, input_).command, START, {})


def start_work(plan: Plan, input_: str) -> StartWork:
    return StartWork(StartExecution(UUID(int=7), "default", "flow", 1, input_, {}), plan)
