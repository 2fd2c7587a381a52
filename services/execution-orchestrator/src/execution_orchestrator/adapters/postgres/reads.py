"""The reads on Postgres: executions, tasks, events. The replica serves them if the caller allows it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from service_kit.data.consistency import EVENTUAL, STRONG, ReadConsistency
from service_kit.data.postgres import Connection, Database
from service_kit.tools.ids import uuid7
from workflow_contract.doorbell import Ring

from execution_orchestrator.adapters.postgres import reads_sql as read_sql
from execution_orchestrator.adapters.postgres.reads_rows import event_of
from execution_orchestrator.adapters.postgres.store_rows import execution_of
from execution_orchestrator.adapters.postgres.store_sql import LOAD_DEFINITION
from execution_orchestrator.adapters.postgres.task_reads import get_full, task_page
from execution_orchestrator.application.ports.reads import (
    ALL_VERSIONS,
    LIST_SECONDS,
    MAX_LIST_WALK,
    MAX_MANY_BYTES,
    MAX_MANY_EVENTS,
    MAX_READ_PAYLOAD_BYTES,
    EventPage,
    ExecutionDetails,
    ExecutionFilter,
    ExecutionPage,
    VersionUsage,
)
from execution_orchestrator.application.ports.task_runs import (
    MAX_LIST_ATTEMPTS,
    MAX_SUMMARY_RUNS,
    MAX_TASK_RUN_WALK,
    TaskChoice,
    TaskRunFilter,
    TaskRunPage,
)
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.task import NO_ITEM, TaskKey

CLOCK_SLACK = timedelta(seconds=10)
"""The largest difference between the time in an execution's id and its create_time."""

LOWEST_ID, HIGHEST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)
_LAST_MS = (1 << 48) - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much one read looks at, and how long a list may take."""

    list_seconds: float = LIST_SECONDS
    list_walk: int = MAX_LIST_WALK
    task_run_walk: int = MAX_TASK_RUN_WALK
    list_attempts: int = MAX_LIST_ATTEMPTS
    summary_runs: int = MAX_SUMMARY_RUNS


USUAL_LIMITS = ReadLimits()


class PostgresReads:
    """Implements the port `Reads`."""

    def __init__(self, database: Database, limits: ReadLimits = USUAL_LIMITS) -> None:
        self._database = database
        self._limits = limits

    async def get_execution(
        self,
        namespace: str,
        execution_id: UUID,
        *,
        full: bool = False,
        task: TaskChoice | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionDetails | None:
        query: Callable[..., Awaitable[ExecutionDetails | None]] = _get_basic
        if full or task is not None:
            query = partial(get_full, task=task, max_summary_runs=self._limits.summary_runs)
        return await self._find(lambda connection: query(connection, namespace, execution_id), consistency)

    async def list_task_runs(
        self,
        where: TaskRunFilter,
        *,
        limit: int,
        after: TaskKey | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> TaskRunPage | None:
        key = after or TaskKey(where.task_id, NO_ITEM - 1)
        bounds = {"max_walk": self._limits.task_run_walk, "max_attempts": self._limits.list_attempts}
        return await self._find(
            lambda connection: task_page(connection, where, key, limit, **bounds), consistency, slow=True
        )

    async def list_executions(
        self,
        where: ExecutionFilter,
        *,
        limit: int,
        before: UUID | None = None,
        consistency: ReadConsistency = EVENTUAL,
    ) -> ExecutionPage:
        statement, values = list_query(where, before, limit + 1, self._limits.list_walk)
        arguments = statement.arguments(values)

        async def query(connection: Connection) -> list[Any]:
            async with connection.transaction(readonly=True):
                await connection.execute(f"SET LOCAL statement_timeout = '{self._limits.list_seconds}s'")
                return list(await connection.fetch(statement.sql, *arguments))

        return _page_of(await self._database.read(query, consistency, slow=True), limit)

    async def list_events(
        self,
        namespace: str,
        execution_id: UUID,
        *,
        after_sequence: int,
        limit: int,
        consistency: ReadConsistency = EVENTUAL,
    ) -> EventPage | None:
        keys = [(namespace, execution_id, after_sequence)]

        async def query(connection: Connection) -> EventPage | None:
            (page,) = await _events_after(connection, keys, limit)
            if page.events:
                return page
            exists = await connection.fetchval(read_sql.EXECUTION_EXISTS, execution_id, namespace)
            return page if exists else None

        return await self._find(query, consistency)

    async def get_many(self, keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        namespaces, ids = [key[0] for key in keys], [key[1] for key in keys]
        rows = await self._database.read(
            lambda connection: connection.fetch(read_sql.GET_EXECUTIONS, ids, namespaces), STRONG
        )
        return [None if row["id"] is None else _execution(row, "place", "size_before") for row in rows]

    async def events_after(self, keys: Sequence[tuple[str, UUID, int]], limit: int) -> list[EventPage]:
        return await self._database.read(lambda connection: _events_after(connection, keys, limit), STRONG)

    async def look(self, execution_ids: Sequence[UUID]) -> list[Ring]:
        ids = list(execution_ids)
        rows = await self._database.read(lambda connection: connection.fetch(read_sql.LOOK, ids), STRONG)
        return [Ring(*row) for row in rows]

    async def usage(
        self,
        namespace: str,
        workflow_id: str,
        *,
        below_version: int = ALL_VERSIONS,
        consistency: ReadConsistency = EVENTUAL,
    ) -> list[VersionUsage]:

        async def query(connection: Connection) -> list[Any]:
            async with connection.transaction(readonly=True):
                await connection.execute(read_sql.USAGE_SETTINGS)
                return list(await connection.fetch(read_sql.USAGE, namespace, workflow_id, below_version))

        rows = await self._database.read(query, consistency, slow=True)
        return sorted((VersionUsage(*row) for row in rows), reverse=True)

    async def definition(
        self, namespace: str, workflow_id: str, version: int, *, consistency: ReadConsistency = EVENTUAL
    ) -> bytes | None:
        key = (namespace, workflow_id, version)
        return await self._find(lambda connection: connection.fetchval(LOAD_DEFINITION, *key), consistency)

    async def _find(
        self,
        query: Callable[[Connection], Awaitable[T | None]],
        consistency: ReadConsistency,
        *,
        slow: bool = False,
    ) -> T | None:
        """Find a row on the replica. If it is not there (yet), ask the primary before it counts as
        missing.
        """
        found = await self._database.read(query, consistency, slow=slow)
        if found is None and not consistency.strong and self._database.replica is not None:
            found = await self._database.read(query, STRONG, slow=slow)
        return found


async def _get_basic(connection: Connection, namespace: str, execution_id: UUID) -> ExecutionDetails | None:
    row = await connection.fetchrow(read_sql.GET_EXECUTION, execution_id, namespace)
    return None if row is None else ExecutionDetails(execution_of(row))


async def _events_after(
    connection: Connection, keys: Sequence[tuple[str, UUID, int]], limit: int
) -> list[EventPage]:
    namespaces = [key[0] for key in keys]
    ids = [key[1] for key in keys]
    sequences = [key[2] for key in keys]
    max_events = max(1, min(limit, MAX_MANY_EVENTS // len(keys)))
    max_bytes = min(MAX_READ_PAYLOAD_BYTES, MAX_MANY_BYTES // len(keys))
    rows = await connection.fetch(read_sql.EVENTS_AFTER, ids, namespaces, sequences, max_events, max_bytes)
    found: list[list[Any]] = [[] for _ in keys]
    for row in rows:
        found[row["place"] - 1].append(row)
    return [
        EventPage([event_of(row) for row in page], bool(page) and len(page) < page[0]["found"])
        for page in found
    ]


def list_query(
    where: ExecutionFilter, before: UUID | None, limit: int, max_walk: int = MAX_LIST_WALK
) -> tuple[read_sql.Statement, dict[str, Any]]:
    """Return the statement of a list, and the values of its parameters by name."""
    values: dict[str, Any] = {
        "namespace": where.namespace,
        "lowest_id": LOWEST_ID,
        "before_id": before or HIGHEST_ID,
        "limit": limit,
    }
    if where.quarantined:
        values["quarantined"] = True
        values |= {"workflow": where.workflow_id} if where.workflow_id else {}
    elif where.workflow_id:
        values["workflow_id"] = where.workflow_id
    if where.statuses:
        values["statuses"] = [status.value for status in where.statuses]
    if where.labels:
        values["labels"] = json.dumps(dict(where.labels))
    # An id begins with the time when it was made, so bounds on the id keep the walk along the index short.
    # But create_time, from another clock, decides.
    if where.create_time_from is not None:
        values["create_time_from"] = where.create_time_from
        values["lowest_id"] = _id_at(where.create_time_from, -CLOCK_SLACK)
    if where.create_time_before is not None:
        values["create_time_before"] = where.create_time_before
        values["before_id"] = min(values["before_id"], _id_at(where.create_time_before, CLOCK_SLACK))
    filters = read_sql.LIST_FILTERS.intersection(values)
    of_workflow = "workflow_id" in values
    return read_sql.list_executions(filters, of_workflow=of_workflow, max_walk=max_walk), values


def _id_at(time: datetime, slack: timedelta) -> UUID:
    """Return the first UUIDv7 of the moment `slack` later, or the first or last of all if that has none."""
    seconds = time.timestamp() + slack.total_seconds()  # a datetime ends at the years 1 and 9999
    return uuid7(min(max(0, int(seconds * 1000)), _LAST_MS), 0)


def _page_of(rows: Sequence[Any], limit: int) -> ExecutionPage:
    found = sorted((row for row in rows if row["id"] is not None), key=itemgetter("id"), reverse=True)
    shown = [_execution(row, "size_before", "found", "walk_end") for row in found[:limit]]
    if found and (found[0]["found"] > limit or len(found) < found[0]["found"]):
        return ExecutionPage(shown, shown[-1].id)
    return ExecutionPage(shown, rows[0]["walk_end"])


def _execution(row: Any, *others: str) -> Execution:
    """Return the execution of a row that also has the columns `others`."""
    fields = dict(row)
    for name in others:
        del fields[name]
    return execution_of(fields)
