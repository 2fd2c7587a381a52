"""Fan-outs of ten thousand items: the replica answers everybody else meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from execution_orchestrator.application.engine.work import WorkEntry
from execution_orchestrator.domain.errors import HeavyEvaluationError

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request, status_of, tuned

ITEMS = 10_000
MAX_BLOCKED_SECONDS = 1.0
"""A generous bound: it is about a fifth of it. An evaluation in the event loop took minutes."""
EACH: dict[str, Any] = {
    "id": "each",
    "type": "noop",
    "input": {
        "n": "${item.id}",
        "of": "${size(input.items)}",
        "odd": "${input.items.filter(x, x.id % 2 == 1).size() + item.id}",
    },
    "for_each": {"items": "${input.items}", "max_parallel": 3},
}


def customers(number: int = ITEMS) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"customer {n}", "mail": f"c{n}@example.com"} for n in range(number)]


@asynccontextmanager
async def watching() -> AsyncIterator[list[float]]:
    """The seconds of processor time that the event loop's thread took in one piece, each time.

    Time on the wall would measure the load of the machine as well.
    """
    blocked: list[float] = []

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            blocked.append(time.thread_time() - before)

    task = asyncio.create_task(watch())
    try:
        yield blocked
    finally:
        task.cancel()


async def test_a_start_with_ten_thousand_items_blocks_nobody(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(EACH)
    request = start_request({"items": customers()})  # made before: it takes a moment of the test's own
    async with watching() as blocked:
        started = await service.executions.StartExecution(request)
    assert status_of(started) == "PENDING"
    assert max(blocked) < MAX_BLOCKED_SECONDS
    assert started.task_counts.total == ITEMS + 1
    await service.cancel(started.execution_id)


async def test_a_result_that_makes_ten_thousand_items_blocks_nobody(
    service: Service, catalog: FakeCatalog
) -> None:
    """Other executions go on while the items are made: the evaluation waits outside of the transaction."""
    each = {**EACH, "needs": ["fetch"], "for_each": {"items": "${tasks.fetch.output}", "max_parallel": 3}}
    each["input"] = {"n": "${item.id}", "of": "${size(tasks.fetch.output)}"}
    catalog.publish({"id": "fetch", "type": "noop"}, each)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        worker_output = customers()
        async with watching() as blocked:
            await worker.succeed(lease, output=worker_output)
            assert await worker.ack(lease) == "RECORDED"
    assert max(blocked) < MAX_BLOCKED_SECONDS
    inputs = await service.rows(
        "SELECT input::text FROM task_runs WHERE execution_id = $1 AND item = $2",
        started.execution_id,
        ITEMS - 1,
    )
    assert json.loads(inputs[0]["input"]) == {"n": ITEMS - 1, "of": ITEMS}

    await service.cancel(started.execution_id)


async def test_other_work_is_committed_while_a_heavy_evaluation_is_made(
    service: Service, catalog: FakeCatalog, monkeypatch: Any
) -> None:
    """The evaluation is held until the other start has been answered: no lock and no lane waits for it."""
    catalog.publish(EACH)
    catalog.publish({"id": "only", "type": "noop"}, workflow_id="other")
    release = asyncio.Event()
    (lane,) = service.orchestrator.pipeline._lanes
    evaluate = lane._evaluate

    async def held(entry: WorkEntry, heavy: HeavyEvaluationError) -> None:
        await release.wait()
        await evaluate(entry, heavy)

    monkeypatch.setattr(lane, "_evaluate", held)
    heavy = asyncio.create_task(service.start({"items": customers(300)}, request_id="once"))
    try:
        others = [await service.start(workflow_id="other") for _ in range(3)]
        assert not heavy.done()
        assert [row["n"] for row in await service.rows("SELECT count(*) AS n FROM request_ids")] == [0]
    finally:
        release.set()
    started = await heavy
    assert started.task_counts.total == 301
    for each in (started, *others):
        await service.cancel(each.execution_id)


@tuned(fan_out_output_bytes=5_000)
async def test_outputs_of_an_earlier_release_which_counted_no_bytes_are_loaded_up_to_the_limit(
    service: Service, catalog: FakeCatalog
) -> None:
    """The task that reads them fails; the rest of them stays in the database."""
    each = {"id": "each", "type": "noop", "for_each": {"items": "${input.items}"}}
    last = {"id": "last", "type": "noop", "needs": ["wait"], "input": "${size(tasks.each.output)}"}
    catalog.publish(each, {"id": "wait", "type": "noop", "needs": ["each"]}, last)

    async with ScriptedWorker(service.workers, hello(), credits=4) as worker:
        started = await service.start({"items": [1, 2, 3]})
        for lease in await worker.leases(3):
            await worker.succeed(lease, output="x" * 3_000)
        wait = await worker.lease()
        await service.pool.execute("UPDATE task_runs SET output_bytes = 0 WHERE task_id = 'each'")
        await worker.succeed(wait)
        failed = await service.becomes(started.execution_id, "FAILED")

    assert (failed.failure.type, failed.failure.task_id) == ("PayloadTooLarge", "last")
