"""The duties' facts on Postgres."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres import upkeep_sql
from execution_orchestrator.adapters.postgres.store import ACQUIRE_TIMEOUT_SECONDS, translated
from execution_orchestrator.application.ports.upkeep_store import (
    EARLIEST,
    RECONNECT_GRACE,
    DuePage,
    DueRow,
    Place,
    Presence,
    Share,
)


class PostgresUpkeepStore:
    """The port `UpkeepStore`, on a pool of connections to the primary. It uses one connection at a time."""

    def __init__(self, pool: asyncpg.Pool, reconnect_grace: timedelta = RECONNECT_GRACE) -> None:
        self._pool = pool
        self._grace = reconnect_grace

    async def beat(self, replica_id: UUID) -> Presence:
        async with self._connection() as connection:
            row = await connection.fetchrow(upkeep_sql.BEAT, replica_id)
        outage_end = row["outage_end"] or EARLIEST
        return Presence(
            now=row["now"],
            share=Share(row["before"], row["others"] + 1),
            outage_end=outage_end,
            available_since=max(row["server_start"], outage_end),
            new_outage=row["new_outage"],
        )

    async def leave(self, replica_id: UUID) -> None:
        async with self._connection() as connection:
            await connection.execute(upkeep_sql.LEAVE, replica_id)

    async def due_tasks(
        self, after: Place, limit: int, presence: Presence, *, claims_may_end: bool
    ) -> DuePage:
        share = presence.share
        async with self._connection() as connection:
            rows = await connection.fetch(
                sql.DUE_TASKS, limit, *after, share.count, share.index, presence.outage_end, claims_may_end
            )
        return _page(rows, [DueRow(Place(*row[1:5]), bool(row[5])) for row in rows if row[1] is not None])

    async def due_executions(self, after: Place, limit: int, presence: Presence) -> DuePage:
        share = presence.share
        async with self._connection() as connection:
            rows = await connection.fetch(
                sql.DUE_EXECUTIONS, limit, after.wake_time, after.execution_id, share.count, share.index
            )
        return _page(rows, [DueRow(Place(row[1], row[2]), False) for row in rows if row[1] is not None])

    async def give_time_back(self, outage_end: datetime, limit: int) -> int:
        async with self._connection() as connection:
            done = await connection.execute(upkeep_sql.GIVE_TIME_BACK, limit, outage_end, self._grace)
        return _count(done)

    async def forget_request_ids(self, age: timedelta, limit: int) -> int:
        async with self._connection() as connection:
            return _count(await connection.execute(upkeep_sql.FORGET_REQUEST_IDS, limit, age))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            yield connection


def _page(found: Sequence[Any], rows: list[DueRow]) -> DuePage:
    """Return the page. Every row begins with the time of the look; if nothing is due, one row has only
    that.
    """
    return DuePage(found[0][0], rows)


def _count(done: str) -> int:
    """Return the number of rows from the server's status of the statement."""
    return int(done.split()[-1])
