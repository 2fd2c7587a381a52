"""All transactions lock tables in one order, and the watch notices one that does not.

The watch is part of every test that launches an orchestrator.
"""

import asyncio
import re

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import lease_sql, store_sql, upkeep_sql
from service_kit.data.connections import WatchedConnection

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.lock_order import ORDER, LockOrder, locked_tables
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (store_sql.RESERVE_REQUEST_IDS, ["request_ids"]),
        (store_sql.LOCK_EXECUTIONS, ["executions"]),
        (store_sql.UPDATE_TASKS, ["task_runs"]),
        (store_sql.CANCEL_WAITING, ["task_runs"]),
        (store_sql.LOAD_TASKS, []),
        (store_sql.READY_HINTS, []),
        (lease_sql.RENEW_BOOT, ["worker_boots", "task_runs", "task_runs"]),
        (lease_sql.END_BOOTS, ["worker_boots", "worker_boots"]),
        (upkeep_sql.GIVE_TIME_BACK, ["task_runs", "task_runs"]),
    ],
    ids=lambda each: None if isinstance(each, list) else " ".join(each.split())[:40],
)
def test_the_watch_knows_what_a_statement_locks(statement: str, tables: list[str]) -> None:
    assert locked_tables(statement) == tables


def test_the_watch_finds_a_table_in_every_statement_that_locks() -> None:
    locking = [
        each
        for module in (store_sql, lease_sql, upkeep_sql)
        for name, each in vars(module).items()
        if name.isupper() and isinstance(each, str) and re.search(r"\bFOR UPDATE\b", each)
    ]

    assert len(locking) >= 4
    assert all(locked_tables(each) for each in locking)


async def test_the_work_of_an_orchestrator_locks_every_table_in_order(
    service: Service, catalog: FakeCatalog, lock_order: LockOrder
) -> None:
    catalog.publish({"id": "only", "type": "noop"})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start(request_id="once")
        await service.start(request_id="once")
        await worker.heartbeat(await worker.lease())
        await service.pause(started.execution_id)
        await service.cancel(started.execution_id, grace_seconds=0)

    assert lock_order.seen == set(ORDER)
    assert lock_order.broken == []


async def test_a_transaction_that_goes_back_in_the_order_is_noted(
    database_url: str, lock_order: LockOrder
) -> None:
    connection: WatchedConnection = await asyncpg.connect(database_url, connection_class=WatchedConnection)
    async with connection.transaction():
        await connection.execute("UPDATE task_runs SET attempt = attempt")
        await connection.fetch("SELECT id FROM executions ORDER BY id FOR UPDATE")
    async with connection.transaction():
        await connection.execute("UPDATE task_runs SET attempt = attempt")
    await connection.fetch("SELECT id FROM executions ORDER BY id FOR UPDATE")
    await connection.close()
    await asyncio.sleep(0)

    assert [each.partition(":")[0] for each in lock_order.broken] == ["executions after task_runs"]
