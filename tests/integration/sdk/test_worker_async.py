import asyncio
import json
from typing import Any

from testkit import eventually
from workflow_sdk import TaskContext, TaskFailure, task
from workflow_sdk.testing import FakeOrchestrator

from tests.integration.sdk.conftest import StartWorker


@task("echo")
async def echo(value: Any) -> Any:
    return value


@task("describe")
async def describe(value: Any, context: TaskContext) -> Any:
    return [context.task_id, context.item, context.attempt, context.idempotency_key, context.workflow_id]


@task("broken")
async def broken(value: Any) -> None:
    raise TaskFailure("no luck", type="OutOfLuck")


@task("exits")
async def exits(value: Any) -> None:
    raise SystemExit(3)


@task("set")
async def returns_a_set(value: Any) -> Any:
    return {"items": [1, {2}]}


@task("nan")
async def returns_nan(value: Any) -> Any:
    return float("nan")


@task("large")
async def returns_too_much(value: Any) -> Any:
    return "x" * value


async def test_a_task_gets_its_input_and_its_output_is_reported(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(echo)
    lease = await orchestrator.give("echo", {"name": "käse", "n": [1, 2.5, None]})
    result = await orchestrator.result_of(lease)

    assert json.loads(result.output) == {"name": "käse", "n": [1, 2.5, None]}


async def test_the_context_names_the_attempt(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(describe)
    lease = await orchestrator.give("describe", task_id="pay", item=0, attempt=2)
    output = json.loads((await orchestrator.result_of(lease)).output)

    assert output == ["pay", 0, 2, lease.idempotency_key, "orders"]


async def test_hello_says_what_the_worker_can_do(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(echo, describe, slots=7, queues=["fast"], worker_id="w-1", namespace="shop")
    session = await orchestrator.connected()
    assert session.hello is not None
    assert (session.hello.worker_id, session.hello.slots, session.hello.namespace) == ("w-1", 7, "shop")
    assert list(session.hello.task_types) == ["describe", "echo"]
    assert list(session.hello.queues) == ["fast"]
    await eventually(lambda: session.granted == [7])


async def test_an_exception_becomes_a_failure_with_the_users_own_lines(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(broken)
    failure = (await orchestrator.result_of(await orchestrator.give("broken"))).failure

    assert (failure.type, failure.message, failure.non_retryable) == ("OutOfLuck", "no luck", False)
    assert "in broken" in failure.details
    assert "executor.py" not in failure.details


async def test_a_handler_that_exits_does_not_end_the_worker(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(exits, echo)
    failure = (await orchestrator.result_of(await orchestrator.give("exits"))).failure

    assert failure.type == "SystemExit"
    assert json.loads((await orchestrator.result_of(await orchestrator.give("echo", 1))).output) == 1


async def test_output_that_is_no_json_fails_for_good_and_says_where(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(returns_a_set, returns_nan)
    failure = (await orchestrator.result_of(await orchestrator.give("set"))).failure
    assert failure.type == "OutputNotJson"
    assert failure.non_retryable
    assert "output.items[1] is of type set" in failure.message
    failure = (await orchestrator.result_of(await orchestrator.give("nan"))).failure

    assert "output is NaN" in failure.message


async def test_output_over_the_limit_of_welcome_fails_for_good(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    orchestrator.max_payload_bytes = 100
    await start_worker(returns_too_much)
    at_limit = await orchestrator.give("large", 98)
    assert len((await orchestrator.result_of(at_limit)).output) == 100
    failure = (await orchestrator.result_of(await orchestrator.give("large", 99))).failure

    assert (failure.type, failure.non_retryable) == ("PayloadTooLarge", True)
    assert "101 bytes" in failure.message


async def test_an_unknown_task_type_fails_for_good_and_names_the_known_ones(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(echo, describe)
    failure = (await orchestrator.result_of(await orchestrator.give("ecco"))).failure

    assert (failure.type, failure.non_retryable) == ("UnknownTaskType", True)
    assert "describe, echo" in failure.message


async def test_results_travel_in_batches_and_leases_ride_on_acknowledgements(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(echo, slots=100)
    leases = [orchestrator.lease("echo", number) for number in range(1000)]
    await orchestrator.give_leases(leases)
    await eventually(lambda: len(orchestrator.results) == 1000)

    assert len({(r.task.execution_id, r.task.task_id) for r in orchestrator.results}) == 1000
    assert len(orchestrator.result_batches) < 200


async def test_more_than_the_slots_never_run_at_the_same_time(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    running, most, gate = 0, 0, asyncio.Event()

    @task("count")
    async def count(_: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    worker = await start_worker(count, slots=3)
    await orchestrator.give_leases([orchestrator.lease("count") for _ in range(8)])
    await eventually(lambda: running == 3)
    assert worker.worker.status.busy == 3
    gate.set()
    await eventually(lambda: len(orchestrator.results) == 8)
    assert most == 3
    await eventually(lambda: worker.worker.status.processed == 8)


async def test_a_lease_that_comes_twice_runs_once(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    runs, gate = 0, asyncio.Event()

    @task("once")
    async def once(_: Any) -> None:
        nonlocal runs
        runs += 1
        await gate.wait()

    await start_worker(once)
    lease = await orchestrator.give("once")
    await orchestrator.give_leases([lease])
    await orchestrator.give("once")
    await eventually(lambda: runs == 2)
    gate.set()
    await eventually(lambda: len(orchestrator.results) == 2)
