"""Which worker gets which task: by credits, task types, queues and namespaces."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as executions_pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    plain,
    start_request,
    status_of,
    task_of,
    task_status,
    without_a_safety_net,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}"}
SECOND: dict[str, Any] = {"id": "second", "type": "noop", "needs": ["only"], "input": "${tasks.only.output}"}


async def test_there_are_never_more_leases_out_than_credits_were_granted(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, SECOND)
    limit, count = 7, 60
    async with ScriptedWorker(service.workers, hello(slots=limit), credits=limit) as worker:
        starts = [start_request({"n": number}) for number in range(count)]
        await service.executions.BatchStartExecutions(
            executions_pb.BatchStartExecutionsRequest(requests=starts)
        )
        for _ in range(2 * count):
            lease = await worker.lease()
            await asyncio.sleep(0)
            await worker.succeed(lease, output={})
        await eventually(lambda: sum(len(acks.acks) for acks in worker.all("result_acks")) == 2 * count)
        assert 1 < worker.most_out <= limit

    rows = await service.rows("SELECT status, count(*) FROM executions GROUP BY 1")

    assert [tuple(row) for row in rows] == [("COMPLETED", count)]


async def test_a_worker_without_credits_gets_no_lease(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(service.workers, hello("idle")) as idle,
        ScriptedWorker(service.workers, hello("busy"), credits=2) as busy,
    ):
        for _ in range(3):
            await service.start()
        await busy.leases(2)
        await eventually(lambda: busy.out == 2)
        assert await service.queue_length() == 1
        assert idle.messages == []
        await idle.grant(1)
        await idle.lease()


async def test_the_next_task_rides_on_the_acknowledgement(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK, SECOND)
    async with (
        ScriptedWorker(service.workers, hello("busy"), credits=1) as worker,
        ScriptedWorker(service.workers, hello("idle")) as idle,
    ):
        await service.start()
        first = await worker.lease()
        await idle.grant(50)
        (session,) = (each for each in service.orchestrator.roster.sessions if each.worker_id == "idle")
        await eventually(lambda: session.credits == 50)
        await worker.succeed(first, output={"n": 1})
        second = await worker.lease()

        (acks,) = worker.all("result_acks")

        assert [ack.task for ack in acks.acks] == [first.task]
        assert [lease.task for lease in acks.leases] == [second.task]
        assert json.loads(second.input) == {"n": 1}
        assert idle.messages == []


async def test_the_next_task_goes_to_another_worker_where_the_first_can_not_run_it(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, {**SECOND, "type": "sleep"})
    async with (
        ScriptedWorker(service.workers, hello("a"), credits=1) as a,
        ScriptedWorker(service.workers, hello("b", ["sleep"]), credits=1) as b,
    ):
        await service.start()
        await a.succeed(await a.lease(), output={})

        assert (await b.lease()).task.task_id == "second"


@without_a_safety_net
async def test_two_workers_with_different_task_types_share_a_queue(
    service: Service, catalog: FakeCatalog
) -> None:
    """What one of them can't run is not lost on it, and waits for nobody but the other."""
    catalog.publish(ONE_TASK, workflow_id="of-a")
    catalog.publish({**ONE_TASK, "type": "sleep"}, workflow_id="of-b")

    async with (
        ScriptedWorker(service.workers, hello("a"), credits=1) as a,
        ScriptedWorker(service.workers, hello("b", ["sleep"]), credits=1) as b,
    ):
        first = [await service.start(workflow_id="of-a"), await service.start(workflow_id="of-b")]
        leases = [await a.lease(), await b.lease()]
        for number in range(20):
            await service.start(workflow_id="of-a" if number % 5 else "of-b")
        assert [lease.task.execution_id for lease in leases] == [each.execution_id for each in first]
        await b.grant(4)

        for worker, type_, count in ((b, "sleep", 4), (a, "noop", 16)):
            await worker.succeed(leases[worker is b])
            for _ in range(count):
                lease = await worker.lease()
                assert lease.task_type == type_
                await worker.succeed(lease)

        assert (a.out, b.out, await service.queue_length()) == (0, 0, 0)


@without_a_safety_net
async def test_a_worker_that_comes_later_finds_what_the_others_could_not_run(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "type": "sleep"})
    async with ScriptedWorker(service.workers, hello("a"), credits=5):
        await service.start()
        await eventually(lambda: bool(service.orchestrator.roster.drained))
        async with ScriptedWorker(service.workers, hello("b", ["sleep"]), credits=1) as b:
            await b.lease()


@without_a_safety_net
async def test_a_new_start_is_not_served_before_a_hundred_tasks_that_wait(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    waiting = [(await service.start()).execution_id for _ in range(100)]
    async with ScriptedWorker(service.workers, hello()) as worker:
        looking, go_on = asyncio.Event(), asyncio.Event()
        pop = service.orchestrator.queue.pop

        async def pop_slowly(*arguments: Any) -> Any:
            looking.set()
            await go_on.wait()
            return await pop(*arguments)

        monkeypatch.setattr(service.orchestrator.queue, "pop", pop_slowly)
        await worker.grant(1)
        await looking.wait()
        new = await service.start()  # the worker is idle, and has a credit that no task has taken yet
        go_on.set()
        assert (await worker.lease()).task.execution_id == waiting[0]
        await worker.grant(100)
        served = [lease.task.execution_id for lease in await worker.leases(100)]
    assert set(served) == {*waiting[1:], new.execution_id}


@without_a_safety_net
async def test_hints_for_which_the_room_was_taken_meanwhile_go_back_into_the_queue(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello()) as worker:
        for _ in range(3):
            await service.start()
        (session,) = service.orchestrator.roster.sessions
        pop = service.orchestrator.queue.pop

        async def pop_slowly(*arguments: Any) -> Any:
            hints = await pop(*arguments)
            session.credits -= len(hints)  # as the pipeline does for a task that became ready meanwhile
            monkeypatch.setattr(service.orchestrator.queue, "pop", pop)
            return hints

        monkeypatch.setattr(service.orchestrator.queue, "pop", pop_slowly)
        await worker.grant(3)
        await eventually(lambda: service.orchestrator.queue.pop == pop)
        await worker.grant(3)
        assert len({lease.task.execution_id for lease in await worker.leases(3)}) == 3


async def test_named_queues_are_served_by_those_who_serve_them(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "queue": "gpu"}, workflow_id="on-gpu")
    catalog.publish(ONE_TASK)

    async with (
        ScriptedWorker(service.workers, hello("cpu"), credits=5) as cpu,
        ScriptedWorker(service.workers, hello("gpu", queues=["gpu"]), credits=5) as gpu,
    ):
        on_gpu = await service.start(workflow_id="on-gpu")
        on_cpu = await service.start()

        assert (await gpu.lease()).task.execution_id == on_gpu.execution_id
        assert (await cpu.lease()).task.execution_id == on_cpu.execution_id
        assert (cpu.out, gpu.out) == (1, 1)


async def test_a_named_queue_waits_in_its_own_list(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({**ONE_TASK, "queue": "gpu"})
    await service.start()
    stats = await service.executions.GetQueueStats(executions_pb.GetQueueStatsRequest())

    assert {each.queue: each.length for each in stats.queues} == {"default": 0, "gpu": 1}


async def test_a_fan_out_of_ten_thousand_is_cancelled_at_once_and_leaves_nothing_to_take(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}})
    started = await service.start({"items": list(range(10_000))})
    assert started.task_counts.total == 10_001

    async def all_are_queued() -> None:  # the reply waits for hints only for a moment
        assert await service.queue_length() == 10_000

    await eventually(all_are_queued, timeout=20)
    cancelled = await service.cancel(started.execution_id)
    assert (status_of(cancelled), cancelled.task_counts.cancelled) == ("CANCELLED", 10_001)
    catalog.publish(ONE_TASK, workflow_id="next")
    async with ScriptedWorker(service.workers, hello(), credits=500) as worker:
        following = await service.start(workflow_id="next")
        assert (await worker.lease()).task.execution_id == following.execution_id
        assert worker.most_out == 1
    assert await service.queue_length() == 0


async def test_more_items_than_are_run_fail_with_advice(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}})
    failed = await service.start({"items": list(range(10_001))})

    assert (status_of(failed), failed.failure.type) == ("FAILED", "ExpressionError")
    assert "give it parts" in failed.failure.message


async def test_a_worker_of_another_namespace_is_given_nothing(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, namespace="team-a")
    async with ScriptedWorker(service.workers, hello(namespace="team-a"), credits=5) as worker:
        await service.start()
        theirs = await service.start(namespace="team-a")
        lease = await worker.lease()

        assert (lease.task.execution_id, lease.namespace) == (theirs.execution_id, "team-a")
        assert await service.queue_length() == 1


async def test_items_of_a_fan_out_are_spread_over_workers_and_joined_in_order(
    service: Service, catalog: FakeCatalog
) -> None:
    fan_out = {"id": "each", "type": "noop", "for_each": {"items": "${input.items}", "max_parallel": 4}}
    catalog.publish(fan_out, output="${tasks.each.output}")
    async with (
        ScriptedWorker(service.workers, hello("a"), credits=2) as a,
        ScriptedWorker(service.workers, hello("b"), credits=2) as b,
    ):
        started = await service.start({"items": list(range(12))})
        share: Counter[str] = Counter()

        async def work(worker: ScriptedWorker, name: str) -> None:
            while True:
                lease = await worker.lease()
                share[name] += 1
                await worker.succeed(lease, output=json.loads(lease.input) * 10)

        working = [asyncio.create_task(work(a, "a")), asyncio.create_task(work(b, "b"))]
        done = await service.becomes(started.execution_id, "COMPLETED")
        for task in working:
            task.cancel()
        await asyncio.wait(working)
    assert plain(done.output) == [number * 10 for number in range(12)]
    assert min(share["a"], share["b"]) > 0
    assert max(event.task_counts.running for event in await service.events(started.execution_id)) <= 4
    assert task_status(task_of(done, "each")) == "SUCCEEDED"
