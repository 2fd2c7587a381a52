"""Two orchestrators on the same Postgres and Redis: they share the work, and repair the same things once."""

import asyncio
import json
from typing import Any

import pytest
from execution_orchestrator.application import timers
from testkit import eventually
from workflow.execution.v1 import execution_service_pb2 as pb

from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.fake_catalog import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    plain,
    start_request,
    status_of,
    task_of,
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


async def test_they_share_the_work_of_the_same_executions(launch: Launch, catalog: FakeCatalog) -> None:
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


async def test_both_recover_the_same_leases_without_harm(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found them to be due before either of them does anything about it."""
    monkeypatch.setattr(timers, "TIMER_SECONDS", 3600.0)
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1, "maximum_lost_attempts": 1}})
    one, two = await launch(lease_ttl=1.0), await launch(lease_ttl=1.0)
    async with ScriptedWorker(one.workers, hello("silent"), credits=20) as silent:
        ids = [(await one.start()).execution_id for _ in range(20)]
        await silent.leases(20)
    over = "SELECT count(*) AS n FROM task_runs WHERE lease_expire_time < clock_timestamp()"

    async def expired() -> None:
        assert (await one.rows(over))[0]["n"] == 20

    await eventually(expired)
    found = _meet_after_looking(one, two)
    await asyncio.gather(one.orchestrator.timers.tick(), two.orchestrator.timers.tick())
    assert [len(keys) for keys in found] == [20, 20]
    async with ScriptedWorker(two.workers, hello("other"), credits=20) as other:
        leases = await other.leases(20)
        assert {lease.attempt for lease in leases} == {2}
        await other.succeed(*leases)
        for id_ in ids:
            done = await two.becomes(id_, "COMPLETED")
            assert attempt_statuses(task_of(done, "only")) == ["LOST", "SUCCEEDED"]
            assert (await two.event_types(id_)).count("TASK_REQUEUED") == 1


def _meet_after_looking(*services: Service) -> list[list[Any]]:
    """What each finds to be due, at a moment when all of them have looked."""
    barrier = asyncio.Barrier(len(services))
    finds: list[list[Any]] = []

    def watch(store: Any) -> None:
        due_tasks = store.due_tasks

        async def look_and_meet(*arguments: Any) -> Any:
            finds.append(await due_tasks(*arguments))
            await barrier.wait()
            return finds[-1]

        store.due_tasks = look_and_meet

    for service in services:
        watch(service.orchestrator.store)
    return finds


async def test_the_work_of_an_orchestrator_that_dies_is_taken_over_by_the_other(
    launch: Launch, catalog: FakeCatalog
) -> None:
    """Its worker goes on with what it holds, and reports it to the other one."""
    catalog.publish(ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]})
    one, two = await launch(), await launch()
    async with ScriptedWorker(one.workers, hello(), credits=1) as before:
        id_ = (await one.start()).execution_id
        lease = await before.lease()
    await one.orchestrator.workers.drain()
    async with ScriptedWorker(two.workers, hello()) as after:
        await after.succeed(lease)
        second = await after.lease()  # rides on the acknowledgement
        await after.succeed(second)
        await two.becomes(id_, "COMPLETED")


@pytest.mark.usefixtures("without_a_safety_net")
async def test_a_task_that_one_of_them_queued_goes_to_a_worker_of_the_other_without_a_poll(
    launch: Launch, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    one, two = await launch(), await launch()
    await eventually(lambda: two.orchestrator.doorbell._listening)
    async with ScriptedWorker(two.workers, hello(), credits=1) as worker:
        await eventually(lambda: ("default", "noop", "default") in two.orchestrator.dispatcher._drained)
        started = await one.start()
        assert (await worker.lease()).task.execution_id == started.execution_id
