"""A database of an earlier release, full of executions, is upgraded, and the work goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from execution_orchestrator.adapters.postgres.migrate import MIGRATIONS, upgrade_async
from google.protobuf.json_format import ParseDict
from service_kit.data import migrations
from service_kit.tools.ids import new_uuid7
from testkit import eventually
from testkit.databases import Database, Databases
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.checker import check_everything
from tests.integration.orchestrator.filling import event_row, execution_row, insert, task_row
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import running_service

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
FAILURE = json.dumps({"type": "Boom", "message": "it broke"})
PATIENCE = 60.0
LONG_AGO = timedelta(minutes=20)  # longer than a lease, and than the time in the queue

# status: the counts of its last event (total, running, succeeded, failed, cancelled, skipped), its events
STATUSES: dict[str, tuple[list[int], list[tuple[str, str]]]] = {
    "PENDING": ([1, 0, 0, 0, 0, 0], []),
    "RUNNING": ([1, 1, 0, 0, 0, 0], [("EXECUTION_STARTED", "RUNNING"), ("TASK_STARTED", "RUNNING")]),
    "PAUSED": ([1, 0, 0, 0, 0, 0], [("EXECUTION_PAUSED", "PAUSED")]),
    "COMPLETED": (
        [1, 0, 1, 0, 0, 0],
        [
            ("EXECUTION_STARTED", "RUNNING"),
            ("TASK_STARTED", "RUNNING"),
            ("TASK_SUCCEEDED", "RUNNING"),
            ("EXECUTION_COMPLETED", "COMPLETED"),
        ],
    ),
    "FAILED": (
        [1, 0, 0, 1, 0, 0],
        [
            ("EXECUTION_STARTED", "RUNNING"),
            ("TASK_STARTED", "RUNNING"),
            ("TASK_FAILED", "RUNNING"),
            ("EXECUTION_FAILED", "FAILED"),
        ],
    ),
    "CANCELLED": ([1, 0, 0, 0, 1, 0], [("EXECUTION_CANCELLED", "CANCELLED")]),
}
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


@pytest.fixture
async def earlier(databases: Databases) -> AsyncIterator[Database]:
    """A database of revision 0003."""
    database = databases.create()
    await migrations.upgrade(database.url, MIGRATIONS, "0003")
    yield database
    databases.drop(database)


@pytest.fixture
async def pool(earlier: Database) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(earlier.url, min_size=1, max_size=2)
    yield pool
    await pool.close()


def _execution(id_: UUID, status: str, now: datetime) -> dict[str, Any]:
    counts, events = STATUSES[status]
    names = ("total", "running", "succeeded", "failed", "cancelled", "skipped")
    row = execution_row(
        0,
        id=id_,
        workflow_id="flow",
        status=status,
        last_sequence=1 + len(events),
        final=status in FINAL,
        create_time=now - LONG_AGO,
        tasks_open=0 if status in FINAL else 1,
        **{f"tasks_{name}": count for name, count in zip(names, counts, strict=True)},
    )
    if status in FINAL:
        row |= {"end_time": now - LONG_AGO, "output": "null" if status == "COMPLETED" else None}
        row |= {"failure": FAILURE if status == "FAILED" else None}
    elif status == "PAUSED":
        pause = {"mode": "DRAIN", "clock_policy": "FREEZE", "reason": "", "actor": ""}
        row |= {
            "pause": json.dumps(pause | {"pause_time": now.isoformat(), "quiesced_time": now.isoformat()})
        }
        row |= {"paused_from": "PENDING", "timeout_remaining": timedelta(hours=1)}
    else:
        row |= {"timeout_time": now + timedelta(hours=1), "wake_time": now + timedelta(hours=1)}
    return row


def _task(id_: UUID, status: str, now: datetime) -> dict[str, Any]:
    late = now - LONG_AGO / 2
    row = task_row(0, "only", execution_id=id_)
    started = {"attempt": 1, "epoch": 1, "worker_id": "gone", "start_time": now - LONG_AGO}
    match status:
        case "PENDING":
            row |= {"status": "READY", "ready_time": now - LONG_AGO, "wake_time": late}
        case "RUNNING":
            held = {"boot_id": "gone", "lease_expire_time": late, "close_time": now + timedelta(hours=1)}
            row |= {"status": "RUNNING", "wake_time": late, **started, **held}
        case "PAUSED":
            row |= {"status": "READY", "frozen": timedelta(minutes=5)}
        case "COMPLETED":
            row |= {"status": "SUCCEEDED", "end_time": late, "output": "null", **started}
        case "FAILED":
            row |= {"status": "FAILED", "end_time": late, "failure": FAILURE, **started}
        case "CANCELLED":
            row |= {"status": "CANCELLED", "end_time": late}
    return row


async def _fill(pool: asyncpg.Pool) -> dict[str, UUID]:
    """One execution in every status, as the release before would have left it 20 minutes ago."""
    ids = {status: new_uuid7() for status in STATUSES}
    now = datetime.now(UTC)
    definition = ParseDict({"tasks": [ONE_TASK]}, WorkflowDefinition()).SerializeToString()
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO definitions VALUES ('default', 'flow', 1, $1)", definition)
        for status, id_ in ids.items():
            counts, events = STATUSES[status]
            await insert(connection, "executions", _execution(id_, status, now))
            await insert(connection, "task_runs", _task(id_, status, now))
            history = [("EXECUTION_CREATED", "PENDING"), *events]
            for sequence, (type_, after) in enumerate(history, 1):
                task = {"task_id": "only"} if type_.startswith("TASK_") else {}
                event = event_row(0, sequence, type_, status=after, execution_id=id_, counts=counts, **task)
                await insert(connection, "execution_events", event)
    return ids


async def test_executions_of_every_status_go_on_after_the_upgrade(
    earlier: Database,
    pool: asyncpg.Pool,
    redis_url: str,
    catalog: FakeCatalog,
    catalog_server: tuple[grpc.aio.Server, str],
) -> None:
    ids = await _fill(pool)
    await upgrade_async(earlier.url)
    catalog.publish(ONE_TASK)
    async with running_service(earlier.url, redis_url, catalog_server[1], pool, lease_ttl=1.0) as service:
        await service.resume(str(ids["PAUSED"]))
        async with ScriptedWorker(service.workers, hello(), credits=10) as worker:
            new = (await service.start()).execution_id
            working = asyncio.create_task(_work(worker))
            for id_ in (ids["PENDING"], ids["RUNNING"], ids["PAUSED"], new):
                await service.becomes(str(id_), "COMPLETED", PATIENCE)
            working.cancel()
            await asyncio.wait([working])

    left = {row["id"]: row["status"] for row in await pool.fetch("SELECT id, status FROM executions")}

    assert {status: left[ids[status]] for status in FINAL} == {status: status for status in FINAL}
    assert await check_everything(pool) == len(STATUSES) + 1


async def _work(worker: ScriptedWorker) -> None:
    while True:
        await worker.succeed(await worker.waiting.get())


async def test_the_upgrade_lets_writers_pass_and_waits_for_a_long_transaction(
    earlier: Database, pool: asyncpg.Pool
) -> None:
    ids = await _fill(pool)
    other = await asyncpg.connect(earlier.url)
    block = other.transaction()
    await block.start()
    await other.execute("LOCK TABLE request_ids IN ROW EXCLUSIVE MODE")
    await other.execute("UPDATE executions SET labels = labels WHERE id = $1", ids["PENDING"])
    migrating = asyncio.create_task(upgrade_async(earlier.url))
    await eventually(lambda: _waits(pool), PATIENCE)
    write = pool.execute("UPDATE executions SET labels = labels WHERE id = $1", ids["RUNNING"])
    await asyncio.wait_for(write, PATIENCE)
    start = pool.execute("INSERT INTO request_ids VALUES ('default', 'a', '', $1, now())", ids["PENDING"])
    await asyncio.wait_for(start, PATIENCE)
    assert not migrating.done()
    await block.commit()
    await other.close()

    await asyncio.wait_for(migrating, PATIENCE)

    assert await pool.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


async def _waits(pool: asyncpg.Pool) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    assert await pool.fetchval(query)
