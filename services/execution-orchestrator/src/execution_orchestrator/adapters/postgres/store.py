"""The write side on Postgres. One transaction for a batch; every statement takes arrays."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
from service_kit.database_errors import is_connection_lost

from execution_orchestrator.adapters.postgres import records, sql
from execution_orchestrator.application.ports import (
    BadDataError,
    ExecutionChanges,
    HeartbeatClaim,
    LoadedOutput,
    RenewedLease,
    RequestId,
    RetryTransactionError,
    RunKey,
    StoreUnavailableError,
)
from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.hints import Hint
from execution_orchestrator.domain.limits import MAX_FAN_OUT_OUTPUT_BYTES
from execution_orchestrator.domain.task import TaskKey, TaskRun

ACQUIRE_TIMEOUT_SECONDS = 5.0
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
NO_ID = UUID(int=0)
Row = tuple[Any, ...]
RETRYABLE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """The driver's errors into those of the port."""
    try:
        yield
    except RETRYABLE as error:
        raise RetryTransactionError(str(error)) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise BadDataError(str(error)) from error
    except Exception as error:
        if is_connection_lost(error):
            raise StoreUnavailableError(repr(error)) from error
        raise


class PostgresStore:
    """The port `Store`, on a pool of connections to the primary."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresTransaction"]:
        """See the port."""
        async with self._connection() as connection, AsyncExitStack() as block:
            yield PostgresTransaction(connection, block)

    async def consistency_token(self) -> str:
        """See the port."""
        return str(await self._value("SELECT pg_current_wal_flush_lsn()::text"))

    async def existing(self, ids: Sequence[UUID]) -> list[Execution]:
        """See the port."""
        return [records.execution_of(row) for row in await self._rows(sql.EXISTING_EXECUTIONS, list(ids))]

    async def owner_of(self, namespace: str, request_id: str) -> RequestId | None:
        """See the port."""
        rows = await self._rows(sql.OWNERS_OF_REQUEST_IDS, [namespace], [request_id])
        return RequestId(*rows[0]) if rows else None

    async def renew_leases(self, claims: Sequence[HeartbeatClaim], ttl: timedelta) -> list[RenewedLease]:
        """See the port."""
        ordered = sorted(claims, key=lambda claim: (claim.execution_id, claim.key))
        rows = await self._rows(
            sql.RENEW_LEASES,
            [claim.execution_id for claim in ordered],
            [claim.key.task_id for claim in ordered],
            [claim.key.item for claim in ordered],
            [claim.epoch for claim in ordered],
            [claim.handler_alive for claim in ordered],
            ttl,
            [claim.progress for claim in ordered],
        )
        return [_renewed(row) for row in rows]

    async def stopped(self, claims: Sequence[tuple[UUID, TaskKey, int]]) -> list[RenewedLease]:
        """See the port."""
        ids, keys, epochs = records.columns(claims, 3)
        rows = await self._rows(
            sql.HELD_LEASES, ids, [key.task_id for key in keys], [key.item for key in keys], epochs
        )
        return [_renewed(row) for row in rows]

    async def due_tasks(self, limit: int, lease_ttl: timedelta) -> list[RunKey]:
        """See the port."""
        return [
            (row[0], TaskKey(row[1], row[2])) for row in await self._rows(sql.DUE_TASKS, limit, lease_ttl)
        ]

    async def due_executions(self, limit: int) -> list[UUID]:
        """See the port."""
        return [row[0] for row in await self._rows(sql.DUE_EXECUTIONS, limit)]

    async def ready_hints(
        self, after: tuple[datetime, RunKey] | None, waited: timedelta, limit: int
    ) -> list[tuple[datetime, Hint]]:
        """See the port."""
        time, (id_, key) = after or (EARLIEST, (NO_ID, TaskKey("")))
        rows = await self._rows(sql.READY_HINTS, waited, time, id_, key.task_id, key.item, limit)
        return [(row["ready_time"], _hint(row)) for row in rows]

    async def save_definition(
        self, namespace: str, workflow_id: str, version: int, definition: bytes
    ) -> None:
        """See the port."""
        await self._value(sql.SAVE_DEFINITION, namespace, workflow_id, version, definition)

    async def load_definition(self, namespace: str, workflow_id: str, version: int) -> bytes | None:
        """See the port."""
        stored: bytes | None = await self._value(sql.LOAD_DEFINITION, namespace, workflow_id, version)
        return stored

    async def add_task_types(self, namespace: str, task_types: Sequence[str]) -> None:
        """See the port."""
        await self._value(sql.ADD_TASK_TYPES, namespace, sorted(task_types))

    async def task_types(self, namespace: str) -> frozenset[str]:
        """See the port."""
        return frozenset(row[0] for row in await self._rows(sql.TASK_TYPES, namespace))

    async def now(self) -> datetime:
        """The primary's time."""
        told: datetime = await self._value(sql.NOW)
        return told

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            yield connection

    async def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def _value(self, statement: str, *arguments: Any) -> Any:
        async with self._connection() as connection:
            return await connection.fetchval(statement, *arguments)


class PostgresTransaction:
    """The port `Transaction`, within one transaction of one connection."""

    def __init__(self, connection: Any, block: AsyncExitStack) -> None:
        self._connection = connection
        self._block = block
        self._begun = False

    async def reserve_request_ids(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """See the port."""
        await self._begin()
        ordered = sorted(requests, key=lambda request: request[:2])  # of the same id the first one owns it
        namespaces, ids, hashes, executions = records.columns(ordered, 4)
        await self._connection.execute(sql.RESERVE_REQUEST_IDS, namespaces, ids, hashes, executions)
        rows = await self._connection.fetch(sql.OWNERS_OF_REQUEST_IDS, namespaces, ids)
        owners = {(row[0], row[1]): RequestId(*row) for row in rows}
        return [owners[request.namespace, request.request_id] for request in requests]

    async def lock_executions(self, ids: Sequence[UUID]) -> list[Execution]:
        """See the port."""
        await self._begin()
        rows = await self._connection.fetch(sql.LOCK_EXECUTIONS, list(ids))
        return [records.execution_of(row) for row in rows]

    async def now(self) -> datetime:
        """See the port."""
        told: datetime = await self._connection.fetchval(sql.NOW)
        return told

    async def load_tasks(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskRun]]:
        """See the port."""
        return [records.task_of(row) for row in await self._by_key(sql.LOAD_TASKS, keys)]

    async def load_task_inputs(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskKey, str]]:
        """See the port."""
        rows = await self._by_key(sql.LOAD_TASK_INPUTS, keys)
        return [(row[0], TaskKey(row[1], row[2]), row[3] or "{}") for row in rows]

    async def load_execution_inputs(self, ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        """See the port."""
        rows = await self._connection.fetch(sql.LOAD_EXECUTION_INPUTS, list(ids))
        return [(row[0], row[1] or "{}") for row in rows]

    async def load_outputs(self, keys: Sequence[tuple[UUID, str]]) -> list[LoadedOutput]:
        """See the port."""
        ids, task_ids = records.columns(keys, 2)
        rows = await self._connection.fetch(sql.LOAD_OUTPUTS, ids, task_ids, MAX_FAN_OUT_OUTPUT_BYTES)
        return [LoadedOutput(*row) for row in rows]

    async def write(self, changes: Sequence[ExecutionChanges]) -> list[Hint]:
        """See the port."""
        ordered = sorted(changes, key=lambda change: change.execution.id)
        if any(each.bulk for each in ordered):
            await self._begin()
        new_tasks, old_tasks = _task_rows(ordered)
        await self._write_rows(
            {
                sql.INSERT_EXECUTIONS: [records.execution_row(each) for each in ordered if each.created],
                sql.UPDATE_EXECUTIONS: [records.execution_row(each) for each in ordered if not each.created],
                sql.INSERT_TASKS: new_tasks,
                sql.UPDATE_TASKS: old_tasks,
                sql.INSERT_ATTEMPTS: [
                    records.attempt_row(each, attempt) for each in ordered for attempt in each.attempts
                ],
                sql.INSERT_EVENTS: [
                    records.event_row(each, event) for each in ordered for event in each.events
                ],
            }
        )
        ready: list[Hint] = []
        for each in ordered:
            for change in each.bulk:
                ready += await self._bulk(change, each)
        return ready

    async def _bulk(self, change: BulkChange, changes: ExecutionChanges) -> list[Hint]:
        scope = (changes.execution.id, changes.now)
        run = self._connection.execute
        match change:
            case BulkChange.CLOSE_WAITING:
                await run(sql.CLOSE_WAITING, *scope)
            case BulkChange.CLOSE_ALL:
                await run(sql.KEEP_REVOKED_ATTEMPTS, *scope)
                await run(sql.REVOKE_RUNNING, *scope)
                await run(sql.CLOSE_WAITING, *scope)
            case BulkChange.FREEZE:
                await run(sql.FREEZE, *scope)
            case BulkChange.THAW:
                rows = await self._connection.fetch(sql.THAW, *scope)
                return [_hint(row) for row in rows if row["status"] == "READY"]
        return []

    async def _begin(self) -> None:
        """Open the transaction at the first statement that is not the last one.

        A batch of new executions is written by one statement, which is a transaction by itself.
        """
        if not self._begun:
            await self._block.enter_async_context(self._connection.transaction())
            self._begun = True

    async def _write_rows(self, writes: dict[str, list[Row]]) -> None:
        """All of it with one statement: those of the writes that have rows, put together."""
        present = tuple(statement for statement, rows in writes.items() if rows)
        if present:
            await self._connection.execute(_combined(present), *filter(None, writes.values()))

    async def _by_key(self, statement: str, keys: Sequence[RunKey]) -> list[Any]:
        ids = [id_ for id_, _ in keys]
        task_ids = [key.task_id for _, key in keys]
        items = [key.item for _, key in keys]
        return list(await self._connection.fetch(statement, ids, task_ids, items))


_combined = cache(sql.combined)


def _task_rows(changes: list[ExecutionChanges]) -> tuple[list[Row], list[Row]]:
    """The new task runs and the changed ones, each in the order of their keys."""
    new: list[Row] = []
    old: list[Row] = []
    for each in changes:
        for key in sorted(each.tasks):
            rows = new if key in each.new_tasks else old
            rows.append(records.task_row(each, each.tasks[key]))
    return new, old


def _hint(row: Any) -> Hint:
    return Hint(
        row["namespace"], row["execution_id"], row["task_id"], row["item"], row["task_type"], row["queue"]
    )


def _renewed(row: Any) -> RenewedLease:
    return RenewedLease(row[0], TaskKey(row[1], row[2]), row[3], row[4])
