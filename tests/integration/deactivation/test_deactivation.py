"""A deactivation is strict: a start that is sent after its reply never runs, on whichever orchestrator.

Nothing here waits for a time: the storm goes on until every client has seen what the test is about.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from testkit import eventually

from tests.integration.deactivation.conftest import WORKFLOW, Stack
from tests.integration.deactivation.storm import History, Start, storm
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service

ROUNDS = 4
CLIENTS = 12
PATIENCE_SECONDS = 30.0


async def everybody(history: History, found: Callable[[], list[Start]], times: int = 2) -> None:
    """Until every client has so many such starts."""

    def seen() -> None:
        starts = found()
        each = dict.fromkeys(history.clients_of(history.starts), 0)
        for start in starts:
            each[start.client] += 1
        assert len(each) == CLIENTS
        assert min(each.values()) >= times

    await eventually(seen, PATIENCE_SECONDS)


async def round_of(stack: Stack, end: Callable[[], Awaitable[None]]) -> History:
    """A storm over an active workflow, in whose middle it ceases to be active."""
    async with storm(stack.orchestrators) as history:
        await everybody(history, history.accepted)
        await end()
        replied = time.monotonic()
        await everybody(history, lambda: history.refused(since=replied), times=5)
    late = history.accepted(since=replied)
    assert late == [], f"{len(late)} starts were sent after the reply and accepted"
    assert {each.refusal for each in history.refused()} == {"WORKFLOW_NOT_ACTIVE"}
    repeats = history.repeats(since=replied)
    assert repeats
    for each in history.repeats():  # whatever has happened in between
        assert each.execution_id == history.first_answers[each.request_id]
    return history


async def stored_ids(stack: Stack) -> set[str]:
    return {str(row["id"]) for row in await stack.pool.fetch("SELECT id FROM executions")}


async def run_all(stack: Stack, ids: set[str]) -> None:
    """Workers come, and everything that was accepted runs to its end."""

    async def work(worker: ScriptedWorker) -> None:
        while True:
            await worker.succeed(await worker.waiting.get())

    async def completed() -> None:
        rows = await stack.pool.fetch("SELECT id FROM executions WHERE status = 'COMPLETED'")
        assert {str(row["id"]) for row in rows} == ids

    async def on(service: Service, name: str) -> None:
        async with ScriptedWorker(service.workers, hello(name), credits=100) as worker:
            await work(worker)

    workers = [asyncio.create_task(on(each, f"worker-{n}")) for n, each in enumerate(stack.orchestrators)]
    try:
        await eventually(completed, PATIENCE_SECONDS)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_no_start_that_is_sent_after_the_reply_runs_and_none_before_it_is_lost(stack: Stack) -> None:
    await stack.publish()
    accepted: set[str] = set()
    for _ in range(ROUNDS):
        history = await round_of(stack, stack.deactivate)
        accepted |= {each.execution_id for each in history.accepted()}
        assert await stored_ids(stack) == accepted  # nothing refused was written, nothing accepted is missing
        await stack.activate()
        for service in stack.orchestrators:  # the very next start, everywhere
            accepted.add((await service.start({}, WORKFLOW)).execution_id)

    await run_all(stack, accepted)


async def test_an_archive_is_as_strict_and_for_good(stack: Stack) -> None:
    await stack.publish()
    history = await round_of(stack, stack.archive)
    accepted = {each.execution_id for each in history.accepted()}
    assert await stored_ids(stack) == accepted
    await run_all(stack, accepted)


async def test_while_it_goes_back_and_forth_every_start_keeps_to_the_last_reply(stack: Stack) -> None:
    """Each change is replied to before the starts that are sent next, on all orchestrators at once."""
    await stack.publish()
    for is_active in [False, True] * 10:
        await (stack.activate() if is_active else stack.deactivate())
        starts = [service.start({}, WORKFLOW) for service in stack.orchestrators for _ in range(3)]
        answers = await asyncio.gather(*starts, return_exceptions=True)
        assert {isinstance(answer, BaseException) for answer in answers} == {not is_active}


@pytest.mark.parametrize("wipe", [False, True])
async def test_redis_has_no_say_in_it(stack: Stack, redis_server: Any, wipe: bool) -> None:
    """What is cached there are definitions, never a status: it may be lost, or out of reach."""
    await stack.publish()
    first = await stack.orchestrators[0].start({}, WORKFLOW)
    async with storm(stack.orchestrators) as history:
        await everybody(history, history.accepted)
        if wipe:
            await stack.orchestrators[0].orchestrator.queue._client.flushall()
        else:
            redis_server.kill()
        lost = time.monotonic()
        await everybody(history, lambda: history.accepted(since=lost))
        await stack.deactivate()
        replied = time.monotonic()
        await everybody(history, lambda: history.refused(since=replied))
    assert history.accepted(since=replied) == []
    assert {each.refusal for each in history.refused()} == {"WORKFLOW_NOT_ACTIVE"}
    accepted = {first.execution_id, *(each.execution_id for each in history.accepted())}
    assert await stored_ids(stack) == accepted
    redis_server.start()

    await run_all(stack, accepted)
