"""Rows as the engine would write them, and what reads them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from service_kit.data import postgres
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from service_kit.tools.ids import uuid7

START = datetime(2030, 1, 1, tzinfo=UTC)
MS = 1_893_456_000_000
ZEROS = ("tasks_total", "tasks_open", "tasks_running", "tasks_succeeded", "tasks_failed", "tasks_cancelled")


def execution_id(number: int, ms: int | None = None) -> UUID:
    """Ids that grow by a second with the number, as the times of `execution_row` do."""
    return uuid7(MS + number * 1000 if ms is None else ms, number)


def execution_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": execution_id(number),
        "namespace": "default",
        "workflow_id": "orders",
        "version": 1,
        "status": "RUNNING",
        "state_version": 1,
        "last_sequence": 1,
        "run_number": 1,
        "final": False,
        "labels": "{}",
        "input": "{}",
        "cancel_requested": False,
        "create_time": START + timedelta(seconds=number),
        "tasks_skipped": 0,
        **dict.fromkeys(ZEROS, 0),
    }
    return row | changes


def task_row(execution: int, task_id: str, item: int = -1, **changes: Any) -> dict[str, Any]:
    row = {
        "execution_id": execution_id(execution),
        "task_id": task_id,
        "item": item,
        "namespace": "default",
        "status": "BLOCKED",
        "task_type": "noop",
        "queue": "default",
        "unmet_needs": 0,
        "attempt": 0,
        "failed_attempts": 0,
        "lost_attempts": 0,
        "epoch": 0,
        "items_open": 0,
        "next_item": 0,
    }
    return row | changes


def attempt_row(execution: int, task_id: str, attempt: int, status: str, item: int = -1) -> dict[str, Any]:
    return {
        "execution_id": execution_id(execution),
        "task_id": task_id,
        "item": item,
        "epoch": attempt,
        "namespace": "default",
        "attempt": attempt,
        "status": status,
        "worker_id": "worker-1",
        "start_time": START,
        "end_time": START + timedelta(seconds=1),
        "failure": json.dumps({"type": "ValueError", "message": f"attempt {attempt}"}),
    }


def event_row(execution: int, sequence: int, type_: str = "TASK_STARTED", **changes: Any) -> dict[str, Any]:
    row = {
        "execution_id": execution_id(execution),
        "sequence": sequence,
        "namespace": "default",
        "type": type_,
        "status": "RUNNING",
        "time": START + timedelta(seconds=sequence),
        "counts": [3, 1, 1, 0, 0, 0],
    }
    return row | changes


async def insert(connection: asyncpg.Connection, table: str, *rows: dict[str, Any]) -> None:
    for names in {tuple(row): None for row in rows}:
        values = [tuple(row.values()) for row in rows if tuple(row) == names]
        places = ", ".join(f"${place + 1}" for place in range(len(names)))
        await connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", values)


async def connected(url: str, replica_url: str | None = None) -> postgres.Database:
    settings = DatabaseSettings(
        default_connection=ConnectionString.parse(url),
        read_only_connection=ConnectionString.parse(replica_url or url),
    )
    return await postgres.connect(settings, application_name="test")
