"""Outages and faults that last longer than the time limits of jobs and leases, on the real stack.

The stack is of this file alone: jobs may wait for 5 s, leases last for 2 s, and only the tests run workers.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from embedded_stack.settings import Ports
from embedded_stack.supervisor import StackOptions, Supervisor
from testkit import eventually
from testkit.directories import temporary_server_directory
from workflow_sdk import Client

from tests.e2e.faults import PATIENCE_SECONDS, QUEUE_TIMEOUT, FaultyStack
from tests.integration.orchestrator.checker import check_everything

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

PATIENT = {"timeouts": {"schedule_to_start": "300s"}}
"""For tasks whose time in the queue is not the subject of the test."""

OTHERS_SECONDS = 8.0
"""How long a start and its completion may take while a fault concerns somebody else: seconds, if at all."""

LOCKED_SECONDS = 62.0
"""Longer than a report waits for a row: it is refused after 60 s, and the worker sends it again."""

FROZEN_SECONDS = 12.0
"""Longer than it takes to give up a connection that fell silent (10 s)."""

BACK_SECONDS = 25.0
"""How soon a start must succeed after the primary answers again: 15 s, and 10 s for a slow machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(stack_environment: dict[str, str]) -> AsyncIterator[FaultyStack]:
    """A stack without workers."""
    with pytest.MonkeyPatch.context() as patch, temporary_server_directory() as data:
        patch.setenv("QUEUE_TIMEOUT", str(QUEUE_TIMEOUT.total_seconds()))
        options = StackOptions(
            data=data, ports=Ports.ephemeral(), workers=0, max_workers=0, shutdown_grace=2, fsync=False
        )
        supervisor = await Supervisor.start(options)
        plan = supervisor.plan
        async with (
            Client.connect(plan.addresses["GATEWAY_ADDRESS"], timeout=PATIENCE_SECONDS) as client,
            asyncpg.create_pool(plan.stores.default_connection, min_size=1, max_size=3) as database,
        ):
            stack = FaultyStack(supervisor, client, database)
            yield stack
            await stack.close()
            await check_everything(database)
        await supervisor.stop()


async def test_queued_executions_with_large_inputs_complete_when_a_worker_with_many_slots_comes(
    stack: FaultyStack,
) -> None:
    """No lease is lost on its way to the worker, although all of them together exceed 5 MB."""
    await stack.publish("faults-large", **PATIENT, retry_policy={"maximum_lost_attempts": 2})
    ids = await stack.start("faults-large", 90, text="x" * 60_000)
    assert await stack.queue_length() >= len(ids)
    async with stack.worker("faults-large", slots=100):
        assert await stack.ends(ids) == {"Completed"}
    await stack.had_one_claim_each(ids)


async def test_a_task_type_without_workers_disturbs_no_other_and_leaves_the_queue_when_its_time_is_over(
    stack: FaultyStack,
) -> None:
    await stack.publish("faults-retired")
    await stack.publish("faults-served", **PATIENT)
    retired = await stack.start("faults-retired", 250)
    assert await stack.queue_length() >= len(retired)
    async with stack.worker("faults-served"):
        for _ in range(5):
            async with asyncio.timeout(OTHERS_SECONDS):
                assert await stack.ends(await stack.start("faults-served", 1)) == {"Completed"}
    assert await stack.ends(retired) == {"Failed"}
    failed = await stack.client.get(retired[0], strong=True)
    assert failed.failure is not None
    assert failed.failure.type == "ScheduleToStartTimeout"

    async def empty() -> None:
        assert await stack.queue_length() == 0

    await eventually(empty, timeout=PATIENCE_SECONDS, interval=0.1)


async def test_no_job_fails_because_no_orchestrator_served_for_longer_than_the_queue_timeout(
    stack: FaultyStack,
) -> None:
    await stack.publish("faults-waiting")
    ids = await stack.start("faults-waiting", 30)
    async with stack.without_orchestrator():
        await stack.waited_longer_than_the_queue_timeout(ids)

    async def noted() -> None:
        assert await stack.database.fetchval(
            "SELECT count(*) FROM outages WHERE end_time - start_time > $1", QUEUE_TIMEOUT / 2
        )

    await eventually(noted, timeout=PATIENCE_SECONDS, interval=0.1)
    async with stack.worker("faults-waiting"):
        assert await stack.ends(ids) == {"Completed"}


async def test_jobs_complete_while_redis_is_away_for_longer_than_the_queue_timeout(
    stack: FaultyStack,
) -> None:
    await stack.publish("faults-hints")
    queued = await stack.start("faults-hints", 30)

    with stack.without_redis():
        async with stack.worker("faults-hints"):
            assert await stack.ends(queued) == {"Completed"}
            await stack.waited_longer_than_the_queue_timeout(queued)
            meanwhile = await stack.start("faults-hints", 30)
            await stack.waited_longer_than_the_queue_timeout(meanwhile)
            assert await stack.ends(meanwhile) == {"Completed"}


async def test_an_execution_that_somebody_locks_delays_nobody_else_and_goes_on_afterwards(
    stack: FaultyStack,
) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def wait_for_the_test(_: Any) -> dict[str, Any]:
        began.set()
        await may_end.wait()
        return {}

    await stack.publish("faults-locked", **PATIENT)
    await stack.publish("faults-others", **PATIENT)
    async with stack.worker("faults-locked", wait_for_the_test), stack.worker("faults-others"):
        (locked,) = await stack.start("faults-locked", 1)
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)
        async with stack.locked_row(locked):
            deadline = time.monotonic() + LOCKED_SECONDS
            may_end.set()  # its result waits for the row
            while time.monotonic() < deadline:
                async with asyncio.timeout(OTHERS_SECONDS):
                    assert await stack.ends(await stack.start("faults-others", 2)) == {"Completed"}
                assert await stack.readiness() == (200, "ready")
            assert not (await stack.client.get(locked, strong=True)).final
        assert await stack.ends([locked]) == {"Completed"}
    await stack.had_one_claim_each([locked])


async def test_a_primary_whose_processes_all_stand_still_is_named_and_work_goes_on_when_they_continue(
    stack: FaultyStack,
) -> None:
    await stack.publish("faults-frozen", **PATIENT)
    began, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def wait_for_the_test(_: Any) -> dict[str, Any]:
        began.release()
        await may_end.wait()
        return {}

    during: list[asyncio.Task[list[str]]] = []

    async def names_the_database() -> None:
        status, summary = await stack.readiness()
        assert (status, "database" in summary) == (503, True), summary

    async def is_ready() -> None:
        assert await stack.readiness() == (200, "ready")

    before = await stack.start("faults-frozen", 30)
    async with stack.worker("faults-frozen", wait_for_the_test, slots=10):
        for _ in range(10):  # the others wait in the queue
            await asyncio.wait_for(began.acquire(), PATIENCE_SECONDS)
        with stack.frozen_primary():
            may_end.set()
            deadline = time.monotonic() + FROZEN_SECONDS
            during += [asyncio.create_task(stack.start("faults-frozen", 1)) for _ in range(5)]
            await eventually(names_the_database, timeout=PATIENCE_SECONDS, interval=0.1)
            while time.monotonic() < deadline:
                await names_the_database()
            assert not any(task.done() for task in during), "the primary answered somebody"
        async with asyncio.timeout(BACK_SECONDS):
            after = await stack.start("faults-frozen", 1)
        await eventually(is_ready, timeout=PATIENCE_SECONDS, interval=0.1)
        accepted = [*before, *after]

        for each in await asyncio.gather(*during):
            accepted += each

        assert await stack.ends(accepted) == {"Completed"}
