"""The write path on Postgres. A batch is one transaction, and every statement takes arrays."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
from service_kit.data.consistency import token_of
from service_kit.data.database_errors import is_connection_lost, is_rolled_back

from execution_orchestrator.adapters.postgres import store_rows as records
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.ready_mark import EARLIEST, ReadyMark
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.store import (
    BadDataError,
    ExecutionChanges,
    HeldClaim,
    LoadedOutput,
    RequestId,
    RetryTransactionError,
    RowLockedError,
    RunKey,
    StoreUnavailableError,
    TransactionTooSlowError,
)
from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.events import Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.limits import MAX_FAN_OUT_OUTPUT_BYTES
from execution_orchestrator.domain.task import Claim, TaskKey, TaskRun

ACQUIRE_TIMEOUT_SECONDS = 5.0
NO_ID = UUID(int=0)
Row = tuple[Any, ...]


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn errors of the driver into errors of the port."""
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise TransactionTooSlowError(str(error)) from error
    except asyncpg.LockNotAvailableError as error:
        raise RowLockedError(str(error)) from error
    except asyncpg.UniqueViolationError as error:  # an earlier try of this batch was committed after all
        raise RetryTransactionError(str(error)) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise BadDataError(str(error)) from error
    except Exception as error:
        if is_rolled_back(error):
            raise RetryTransactionError(str(error)) from error
        if is_connection_lost(error):
            raise StoreUnavailableError(repr(error)) from error
        raise


class PostgresStore:
    """The port `Store`, on a pool of connections to the primary."""

    def __init__(self, pool: asyncpg.Pool, max_fan_out_output_bytes: int = MAX_FAN_OUT_OUTPUT_BYTES) -> None:
        self._pool = pool
        self._max_fan_out_output_bytes = max_fan_out_output_bytes
        self._ready_mark = ReadyMark()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresTransaction"]:
        async with self._connection() as connection, AsyncExitStack() as block:
            yield PostgresTransaction(connection, block, self._max_fan_out_output_bytes)

    async def consistency_token(self) -> str:
        async with self._connection() as connection:
            return await token_of(connection)

    async def existing(self, ids: Sequence[UUID], *, with_output: bool = True) -> list[Execution]:
        statement = sql.EXISTING_EXECUTIONS if with_output else sql.EXISTING_WITHOUT_OUTPUTS
        return [records.execution_of(row) for row in await self._rows(statement, list(ids))]

    async def outputs(self, ids: Sequence[UUID], max_stored_bytes: int) -> dict[UUID, str | None] | None:
        rows = await self._rows(sql.OUTPUTS, list(ids), max_stored_bytes)
        return {row[0]: row[1] for row in rows} if rows else None

    async def has_event(self, execution_id: UUID, event: Event) -> bool:
        identity = event.sequence, event.time, event.type, event.task_id, event.worker_id
        return await self._value(sql.HAS_EVENT, execution_id, *identity) is not None

    async def owner_of(self, namespace: str, request_id: str) -> RequestId | None:
        rows = await self._rows(sql.OWNERS_OF_REQUEST_IDS, [namespace], [request_id])
        return RequestId(*rows[0]) if rows else None

    async def held_claims(self, claims: Sequence[Claim]) -> list[HeldClaim]:
        rows = await self._rows(sql.HELD_CLAIMS, *records.claim_columns(claims))
        return [records.held_claim(row) for row in rows]

    async def ready_hints(
        self, after: tuple[datetime, RunKey] | None, waited: timedelta, limit: int
    ) -> list[tuple[datetime, Hint]]:
        began = monotonic()
        beginning = self._ready_mark.begin(began, full=not waited) if after is None else EARLIEST
        time, (id_, key) = after or (beginning, (NO_ID, TaskKey("")))
        rows = await self._rows(sql.READY_HINTS, waited, time, id_, key.task_id, key.item, limit)
        if after is None:
            took = timedelta(seconds=monotonic() - began)
            self._ready_mark.saw(rows[0]["ready_time"] if rows else await self.now() - took - waited)
        return [(row["ready_time"], _hint(row)) for row in rows]

    async def still_ready(self, keys: Sequence[RunKey]) -> set[RunKey]:
        ids, task_ids, items = records.columns([(id_, *key) for id_, key in keys], 3)
        rows = await self._rows(sql.STILL_READY, ids, task_ids, items)
        return {(row[0], TaskKey(row[1], row[2])) for row in rows}

    async def save_definition(
        self, namespace: str, workflow_id: str, version: int, definition: bytes
    ) -> None:
        await self._value(sql.SAVE_DEFINITION, namespace, workflow_id, version, definition)

    async def load_definition(self, namespace: str, workflow_id: str, version: int) -> bytes | None:
        stored: bytes | None = await self._value(sql.LOAD_DEFINITION, namespace, workflow_id, version)
        return stored

    async def add_task_types(self, namespace: str, task_types: Sequence[str]) -> None:
        await self._value(sql.ADD_TASK_TYPES, namespace, sorted(task_types))

    async def task_types(self, namespace: str) -> frozenset[str]:
        return frozenset(row[0] for row in await self._rows(sql.TASK_TYPES, namespace))

    async def now(self) -> datetime:
        now: datetime = await self._value(sql.NOW)
        return now

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                await self._pool.expire_connections()  # they lead to a server that accepts no writes
                raise

    async def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def _value(self, statement: str, *arguments: Any) -> Any:
        async with self._connection() as connection:
            return await connection.fetchval(statement, *arguments)


class PostgresTransaction:
    """The port `Transaction`, within one transaction of one connection."""

    def __init__(self, connection: Any, block: AsyncExitStack, max_fan_out_output_bytes: int) -> None:
        self._connection = connection
        self._max_fan_out_output_bytes = max_fan_out_output_bytes
        self._block = block
        self._begun = False

    async def reserve_request_ids(self, requests: Sequence[RequestId]) -> list[RequestId]:
        await self._begin()
        ordered = sorted(
            requests, key=lambda request: request[:2]
        )  # if an id occurs twice, the first request owns it
        namespaces, ids, hashes, executions = records.columns(ordered, 4)
        await self._connection.execute(sql.RESERVE_REQUEST_IDS, namespaces, ids, hashes, executions)
        rows = await self._connection.fetch(sql.OWNERS_OF_REQUEST_IDS, namespaces, ids)
        owners = {(row[0], row[1]): RequestId(*row) for row in rows}
        if not all(request[:2] in owners for request in requests):
            raise RetryTransactionError("a request id was forgotten between two statements")
        return [owners[request.namespace, request.request_id] for request in requests]

    async def forget_request_ids(self, requests: Sequence[RequestId]) -> None:
        ordered = sorted(requests, key=lambda request: request[:2])
        namespaces, ids = records.columns([request[:2] for request in ordered], 2)
        await self._connection.execute(sql.FORGET_REQUEST_IDS, namespaces, ids)

    async def lock_executions(self, ids: Sequence[UUID]) -> list[Execution]:
        await self._begin()
        rows = await self._connection.fetch(sql.LOCK_EXECUTIONS, list(ids))
        return [records.execution_of(row) for row in rows]

    async def existing_ids(self, ids: Sequence[UUID]) -> set[UUID]:
        return {row[0] for row in await self._connection.fetch(sql.EXISTING_IDS, list(ids))}

    async def now(self) -> datetime:
        now: datetime = await self._connection.fetchval(sql.NOW)
        return now

    async def load_tasks(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskRun]]:
        return [records.task_of(row) for row in await self._by_key(sql.LOAD_TASKS, keys)]

    async def load_task_inputs(self, keys: Sequence[RunKey]) -> list[tuple[UUID, TaskKey, str]]:
        rows = await self._by_key(sql.LOAD_TASK_INPUTS, keys)
        return [(row[0], TaskKey(row[1], row[2]), row[3] or "{}") for row in rows]

    async def load_execution_inputs(self, ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        rows = await self._connection.fetch(sql.LOAD_EXECUTION_INPUTS, list(ids))
        return [(row[0], row[1] or "{}") for row in rows]

    async def load_outputs(self, keys: Sequence[tuple[UUID, str]]) -> list[LoadedOutput]:
        ids, task_ids = records.columns(keys, 2)
        rows = await self._connection.fetch(sql.LOAD_OUTPUTS, ids, task_ids, self._max_fan_out_output_bytes)
        return [LoadedOutput(*row) for row in rows]

    async def write(self, changes: Sequence[ExecutionChanges]) -> list[Hint]:
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
        """Run the statements of the change. Return the hints of the task runs that it made ready."""
        scope = (changes.execution.id, changes.now)
        *first, last = sql.BULK[change]
        for statement in first:
            await self._connection.execute(statement, *scope)
        rows = await self._connection.fetch(last, *scope)
        return [_hint(row) for row in rows if row["status"] == "READY"]

    async def _begin(self) -> None:
        """Open the transaction at the first statement that is not the last one.

        One statement writes a batch of new executions, and a single statement is a transaction.
        """
        if not self._begun:
            await self._block.enter_async_context(self._connection.transaction())
            self._begun = True

    async def _write_rows(self, writes: dict[str, list[Row]]) -> None:
        """Write everything with one statement, made of the writes that have rows."""
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
    """Return the new task runs and the changed ones, each in key order."""
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
