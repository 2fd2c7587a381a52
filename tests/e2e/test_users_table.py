"""Every row of the users' table of common status transitions, in its order, on the real stack by the SDK."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from embedded_stack.supervisor import Supervisor
from redis.asyncio import Redis
from testkit import eventually
from workflow_sdk import Client, ExecutionStatus, WorkflowInfo
from workflow_sdk.errors import PreconditionError

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]

QUEUE = "workflow:execution:queue"
NEVER_SERVED = "nobody-serves-this"


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Supervisor) -> AsyncIterator[Client]:
    async with Client.connect(stack.plan.addresses["GATEWAY_ADDRESS"]) as client:
        yield client


async def publish(client: Client, workflow_id: str, *tasks: dict[str, Any]) -> None:
    created = await client.create_workflow(workflow_id, {"tasks": list(tasks)})
    assert status_of(created) == "DRAFT"  # Create workflow: - to Draft
    assert status_of(await client.publish_workflow(workflow_id)) == "ACTIVE"  # Publish: Draft to Active


def status_of(workflow: WorkflowInfo) -> str:
    return workflow.status.name


async def statuses(client: Client, execution_id: str) -> list[str]:
    """The statuses that an execution went through."""
    seen: list[str] = []
    async for event in client.events(execution_id, strong=True):
        if not seen or seen[-1] != event.status:
            seen.append(str(event.status))
    return seen


async def is_running(client: Client, execution_id: str) -> None:
    execution = await client.get(execution_id, strong=True)
    assert execution.status is ExecutionStatus.RUNNING


async def test_execute_queues_it_in_redis_as_pending(stack: Supervisor, client: Client) -> None:
    await publish(client, "table-queued", {"id": "a", "type": "noop", "queue": NEVER_SERVED})
    started = await client.start("table-queued")
    assert started.status is ExecutionStatus.PENDING
    async with Redis.from_url(stack.plan.stores.redis) as redis:
        assert await redis.llen(f"{QUEUE}:{NEVER_SERVED}") == 1
    cancelled = await client.cancel(started.execution_id)

    assert cancelled.status is ExecutionStatus.CANCELLED


async def test_a_worker_starts_it_and_it_succeeds(client: Client) -> None:
    await publish(client, "table-succeeds", {"id": "a", "type": "noop", "input": "${input}"})
    started = await client.start("table-succeeds", {"a": 1})

    assert (await client.wait(started.execution_id)).status is ExecutionStatus.COMPLETED
    assert await statuses(client, started.execution_id) == ["Pending", "Running", "Completed"]


async def test_it_fails_after_its_retry(client: Client) -> None:
    policy = {"maximum_attempts": 2, "initial_interval": "0.01s"}
    task = {"id": "a", "type": "fail", "input": {"message": "no"}, "retry_policy": policy}
    await publish(client, "table-fails", task)
    started = await client.start("table-fails")
    failed = await client.wait(started.execution_id)
    assert failed.status is ExecutionStatus.FAILED
    assert await statuses(client, started.execution_id) == ["Pending", "Running", "Failed"]

    types = [event.type async for event in client.events(started.execution_id, strong=True)]

    assert types.count("TASK_RETRY_SCHEDULED") == 1


async def test_a_user_cancels_it_while_it_runs(client: Client) -> None:
    await publish(client, "table-cancelled", {"id": "a", "type": "sleep", "input": {"seconds": 60}})
    started = await client.start("table-cancelled")
    await eventually(lambda: is_running(client, started.execution_id))
    await client.cancel(started.execution_id)

    assert (await client.wait(started.execution_id)).status is ExecutionStatus.CANCELLED
    assert await statuses(client, started.execution_id) == ["Pending", "Running", "Cancelled"]


async def test_it_is_paused_and_resumed(client: Client) -> None:
    await publish(client, "table-paused", {"id": "a", "type": "sleep", "input": {"seconds": 0.5}})
    started = await client.start("table-paused")
    await eventually(lambda: is_running(client, started.execution_id))
    paused = await client.pause(started.execution_id)
    assert paused.status is ExecutionStatus.PAUSED
    resumed = await client.resume(started.execution_id)

    assert resumed.status is ExecutionStatus.RUNNING
    assert (await client.wait(started.execution_id)).status is ExecutionStatus.COMPLETED


async def test_a_disabled_workflow_starts_nothing_and_an_archived_one_never_again(client: Client) -> None:
    await publish(client, "table-disabled", {"id": "a", "type": "noop"})

    assert status_of(await client.deactivate_workflow("table-disabled")) == "INACTIVE"
    with pytest.raises(PreconditionError, match="ActivateWorkflow"):
        await client.start("table-disabled")
    assert status_of(await client.activate_workflow("table-disabled")) == "ACTIVE"
    assert status_of(await client.archive_workflow("table-disabled")) == "ARCHIVED"
    with pytest.raises(PreconditionError, match="archived"):
        await client.start("table-disabled")
