"""The reaper takes the claims of worker processes whose lease has expired. Every replica runs it, always.

It needs no leader to be correct. One atomic statement marks a process as ended; a heartbeat that comes first
prevents the mark. The replica that made the mark sends a command for each claim of the process, which is
decided under the lock of its execution. If that replica dies, another one continues.
"""

import asyncio
from datetime import timedelta

import structlog

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.lease_store import ConfirmedClaim, EndedBoot, LeaseStore
from execution_orchestrator.application.ports.store import (
    RetryTransactionError,
    RunKey,
    StoreUnavailableError,
)
from execution_orchestrator.application.upkeep.reachability import Reachability
from execution_orchestrator.domain.commands import LoseClaim

log = structlog.get_logger(__name__)

REAPER_SECONDS = 0.25
BOOT_PAGE = 100
CLAIM_PAGE = 500
TAKE_OVER_AFTER = timedelta(seconds=10)
"""The time after the mark when another replica, or the same one again, loses the claims that are left."""


class Reaper:
    """The duty that gives back the tasks of lost workers."""

    def __init__(
        self,
        store: LeaseStore,
        pipeline: Pipeline,
        reachability: Reachability,
        take_over_after: timedelta = TAKE_OVER_AFTER,
    ) -> None:
        self._take_over_after = take_over_after
        self._store = store
        self._pipeline = pipeline
        self._reachability = reachability

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            busy = False
            try:
                busy = await self.reap()
            except (StoreUnavailableError, RetryTransactionError) as error:
                log.info("reaper_paused", error=str(error))
            if not busy:
                await asyncio.sleep(REAPER_SECONDS)

    async def reap(self) -> bool:
        """Lose the claims of one page of lost processes. Return whether there may be more."""
        if not self._reachability.steady:
            return False
        boots = await self._store.end_boots(BOOT_PAGE, self._take_over_after)
        for boot in boots:
            await self._lose_claims_of(boot)
        return len(boots) == BOOT_PAGE

    async def _lose_claims_of(self, boot: EndedBoot) -> None:
        after: RunKey | None = None
        count = 0
        while page := await self._store.claims_of(boot.namespace, boot.boot_id, after, CLAIM_PAGE):
            results = await asyncio.gather(
                *(self._lose(boot, claim) for claim in page), return_exceptions=True
            )
            for error in {repr(result) for result in results if isinstance(result, Exception)}:
                log.warning("claim_not_lost", boot_id=boot.boot_id, error=error)
            count += len(page)
            if len(page) < CLAIM_PAGE:
                break
            after = (page[-1].execution_id, page[-1].key)
        if count:
            log.warning("worker_lost", worker_id=boot.worker_id, boot_id=boot.boot_id, claims=count)
        await self._store.forget_boot(boot.namespace, boot.boot_id)

    async def _lose(self, boot: EndedBoot, claim: ConfirmedClaim) -> None:
        command = LoseClaim(claim.key, claim.epoch, boot.boot_id, boot.lease_expire_time)
        await self._pipeline.submit(CommandWork(claim.execution_id, command, boot.namespace))
