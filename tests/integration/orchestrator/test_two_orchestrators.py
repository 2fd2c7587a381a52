"""Two orchestrators on the same Postgres and Redis: they share the work, and repair the same things once."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from execution_orchestrator.application.ports.upkeep_store import Share
from execution_orchestrator.application.upkeep.timers import TimerPace
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    plain,
    start_request,
    status_of,
    task_of,
    tuned,
    without_a_safety_net,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}


async def work(worker: ScriptedWorker) -> int:
    """Until cancelled: run what comes; `each` gives ten times its item."""
    done = 0
    try:
        while True:
            lease = await worker.waiting.get()
            item = json.loads(lease.input)
            await worker.succeed(lease, output=item * 10 if lease.task.HasField("item") else {})
            done += 1
    except asyncio.CancelledError:
        return done


async def test_two_orchestrators_share_the_work_of_the_same_executions(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish(
        {"id": "first", "type": "noop"},
        {"id": "each", "type": "noop", "needs": ["first"], "for_each": {"items": "${input.items}"}},
        {"id": "last", "type": "noop", "needs": ["each"]},
        output="${tasks.each.output}",
    )
    one, two = await launch(), await launch()

    async with (
        ScriptedWorker(one.workers, hello("one"), credits=3) as a,
        ScriptedWorker(two.workers, hello("two"), credits=3) as b,
    ):
        working = [asyncio.create_task(work(worker)) for worker in (a, b)]
        requests = [start_request({"items": list(range(number))}) for number in range(20)]
        batch = pb.BatchStartExecutionsRequest(requests=requests)
        response = await one.executions.BatchStartExecutions(batch)
        waits = [
            two.executions.WaitExecution(pb.WaitExecutionRequest(execution_id=result.execution.execution_id))
            for result in response.results
        ]
        for number, wait in enumerate(waits):
            done = await wait
            assert status_of(done) == "COMPLETED"
            assert plain(done.output) == [item * 10 for item in range(number)]
        for task in working:
            task.cancel()
        counts = await asyncio.gather(*working)

    assert sum(counts) == 20 * 2 + sum(range(20))  # everything once
    assert min(counts) > 0
    assert max(a.most_out, b.most_out) <= 3


@tuned(timers=TimerPace(period_seconds=3600.0))
async def test_both_wake_the_same_timers_without_harm(launch: Launch, catalog: FakeCatalog) -> None:
    """Each believes to be alone, and both have found them to be due before either does anything about it."""
    policy = {"maximum_attempts": 2, "initial_interval": "0.1s", "jitter": 0}
    catalog.publish({**ONE_TASK, "retry_policy": policy})
    one, two = await launch(), await launch()
    async with ScriptedWorker(one.workers, hello(), credits=20) as worker:
        ids = [(await one.start()).execution_id for _ in range(20)]
        for lease in await worker.leases(20):
            await worker.fail(lease)
            await worker.ack(lease)
    over = (
        "SELECT count(*) AS n FROM task_runs WHERE status = 'BACKING_OFF' AND wake_time < clock_timestamp()"
    )

    async def all_over() -> None:
        assert (await one.rows(over))[0]["n"] == 20

    await eventually(all_over, timeout=60)
    found = _meet_after_looking(one, two)
    await asyncio.gather(one.orchestrator.timers.tick(), two.orchestrator.timers.tick())
    assert [len(page.rows) for page in found] == [20, 20]
    async with ScriptedWorker(two.workers, hello("other"), credits=20) as other:
        leases = await other.leases(20)
        assert {lease.attempt for lease in leases} == {2}
        await other.succeed(*leases)
        for id_ in ids:
            done = await two.becomes(id_, "COMPLETED")
            assert attempt_statuses(task_of(done, "only")) == ["FAILED", "SUCCEEDED"]


def _meet_after_looking(*services: Service) -> list[Any]:
    """What each finds to be due in the whole, at a moment when all of them have looked."""
    barrier = asyncio.Barrier(len(services))
    finds: list[Any] = []

    def watch(upkeep: Any) -> None:
        due_tasks = upkeep.due_tasks

        async def look_and_meet(place: Any, limit: int, presence: Any, **named: Any) -> Any:
            alone = replace(presence, share=Share(0, 1))
            finds.append(await due_tasks(place, limit, alone, **named))
            await barrier.wait()
            return finds[-1]

        upkeep.due_tasks = look_and_meet

    for service in services:
        watch(service.orchestrator.upkeep)
    return finds


async def test_the_work_of_an_orchestrator_that_is_cut_off_is_taken_over_by_the_other(
    launch: Launch, catalog: FakeCatalog, wire: Wire
) -> None:
    """It cannot even say that it leaves. Its worker reports to the other one, which wakes all timers."""
    catalog.publish(ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]})
    unserved = {"id": "only", "type": "unserved", "timeouts": {"schedule_to_start": "1s"}}
    catalog.publish(unserved, workflow_id="waiting")
    one, two = await launch(database_url=wire.database_url), await launch()
    async with ScriptedWorker(two.workers, hello(types=["unserved"])):
        pass  # a type that no worker ever had would be refused
    async with ScriptedWorker(one.workers, hello(), credits=1) as before:
        id_ = (await one.start()).execution_id
        lease = await before.lease()
    await eventually(lambda: _knows(two, 2), timeout=60)
    await wire.cut()
    waiting = [(await two.start(workflow_id="waiting")).execution_id for _ in range(20)]
    async with ScriptedWorker(two.workers, hello()) as after:
        await after.succeed(lease)
        second = await after.lease()  # rides on the acknowledgement
        await after.succeed(second)
        await two.becomes(id_, "COMPLETED")
    for each in waiting:
        failed = await two.becomes(each, "FAILED", timeout=60)
        assert failed.failure.type == "ScheduleToStartTimeout"

    await _knows(two, 1)


async def _knows(service: Service, replicas: int) -> None:
    assert (await service.orchestrator.replicas.beat()).share.count == replicas


@without_a_safety_net
async def test_a_task_that_one_of_them_queued_goes_to_a_worker_of_the_other_without_a_poll(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    one, two = await launch(), await launch()
    await eventually(lambda: two.orchestrator.doorbell._listening)
    async with ScriptedWorker(two.workers, hello(), credits=1) as worker:
        await eventually(lambda: ("default", "noop", "default") in two.orchestrator.roster.drained)
        started = await one.start()

        assert (await worker.lease()).task.execution_id == started.execution_id
