"""The end of request ids that are too old for a repeat, so that their table does not grow without end.

The replica with the first share of the timers does it. Two replicas at once would do no harm.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from execution_orchestrator.application.ports.store import RetryTransactionError, StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import UpkeepStore
from execution_orchestrator.application.upkeep.replicas import Replicas

REMEMBERED: Final = timedelta(hours=24)
"""The time for which the engine remembers a request id, at least. The contract promises it."""

PERIOD_SECONDS = 60.0
PAGE = 1_000
"""Request ids that one statement deletes."""

PAUSE_SECONDS = 0.05
"""Between two pages, so that the pages do not slow starts down."""

log = structlog.get_logger(__name__)


class Expiry:
    """The duty that forgets request ids."""

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
        """Forget every request id that was first used over 24 hours ago. Return how many. May be repeated.

        Raise StoreUnavailableError and RetryTransactionError.
        """
        total = 0
        while (count := await self._store.forget_request_ids(REMEMBERED, PAGE)) == PAGE:
            total += count
            await asyncio.sleep(PAUSE_SECONDS)
        return total + count
