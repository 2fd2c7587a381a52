"""Forgets request ids that are too old to be repeated, so that their table does not grow without end.

One replica does it: the one with the first share of the timers. Two at once would do no harm.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from execution_orchestrator.application.ports.store import RetryTransactionError, StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import UpkeepStore
from execution_orchestrator.application.upkeep.replicas import Replicas

REMEMBERED: Final = timedelta(hours=24)
"""How long a request id is remembered at least. The contract promises it."""

PERIOD_SECONDS = 60.0
PAGE = 1_000
"""Request ids that one statement forgets."""

PAUSE_SECONDS = 0.05
"""Between two pages, so that starts have the database for themselves most of the time."""

log = structlog.get_logger(__name__)


class Expiry:
    """The end of the request ids."""

    def __init__(
        self, store: UpkeepStore, replicas: Replicas, period_seconds: float = PERIOD_SECONDS
    ) -> None:
        self._period_seconds = period_seconds
        self._store = store
        self._replicas = replicas

    async def run(self) -> None:
        """Forget once a minute until cancelled. If Postgres is away, try again the next time."""
        while True:
            await asyncio.sleep(self._period_seconds)
            try:
                if (await self._replicas.presence()).share.index == 0:
                    count = await self.forget()
                    log.info("request_ids_forgotten", count=count)
            except (StoreUnavailableError, RetryTransactionError) as error:
                log.info("request_ids_not_forgotten", error=str(error))

    async def forget(self) -> int:
        """Forget every request id that was first used over 24 hours ago; returns how many. May be repeated.

        Raises StoreUnavailableError and RetryTransactionError.
        """
        total = 0
        while (count := await self._store.forget_request_ids(REMEMBERED, PAGE)) == PAGE:
            total += count
            await asyncio.sleep(PAUSE_SECONDS)
        return total + count
