"""Leases on Postgres."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from execution_orchestrator.adapters.postgres import lease_sql
from execution_orchestrator.adapters.postgres import store_rows as records
from execution_orchestrator.adapters.postgres.store import ACQUIRE_TIMEOUT_SECONDS, NO_ID, translated
from execution_orchestrator.application.ports.lease_store import Boot, ConfirmedClaim, EndedBoot
from execution_orchestrator.application.ports.store import HeartbeatClaim, HeldClaim, RunKey
from execution_orchestrator.domain.task import TaskKey


class PostgresLeaseStore:
    """The port `LeaseStore`, on a pool of connections to the primary."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def renew(
        self, claims: Sequence[HeartbeatClaim], ttl: timedelta, boot: Boot | None
    ) -> list[HeldClaim]:
        ordered = sorted(claims, key=lambda each: (each.claim.execution_id, each.claim.key))
        progress = [each.progress for each in ordered]
        columns = (
            *records.claim_columns([each.claim for each in ordered]),
            [each.handler_alive for each in ordered],
        )
        if boot is None:
            rows = await self._rows(lease_sql.RENEW_CLAIMS, ttl, *columns, progress)
        else:
            rows = await self._rows(lease_sql.RENEW_BOOT, ttl, *columns, *boot, progress)
        return [records.held_claim(row) for row in rows]

    async def end_boots(self, limit: int, take_over_after: timedelta) -> list[EndedBoot]:
        return [EndedBoot(*row) for row in await self._rows(lease_sql.END_BOOTS, limit, take_over_after)]

    async def claims_of(
        self, namespace: str, boot_id: str, after: RunKey | None, limit: int
    ) -> list[ConfirmedClaim]:
        id_, key = after or (NO_ID, TaskKey(""))
        page = (boot_id, namespace, id_, key.task_id, key.item, limit)
        rows = await self._rows(lease_sql.CLAIMS_OF_BOOT, *page)
        return [ConfirmedClaim(row[0], TaskKey(row[1], row[2]), row[3]) for row in rows]

    async def forget_boot(self, namespace: str, boot_id: str) -> bool:
        return bool(await self._rows(lease_sql.FORGET_BOOT, namespace, boot_id))

    async def primary(self) -> str | None:
        (row,) = await self._rows(lease_sql.PRIMARY)
        server: str | None = row[0]
        return server

    async def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            return list(await connection.fetch(statement, *arguments))
