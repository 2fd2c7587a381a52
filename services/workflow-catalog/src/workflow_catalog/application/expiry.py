"""Forgets request ids that are too old to be repeated."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from service_kit.clock import Clock

from workflow_catalog.application.ports import WorkflowStore

REMEMBERED: Final = timedelta(hours=24)
"""How long the answer to a request id is remembered at least."""

PERIOD: Final = timedelta(minutes=10)
BATCH: Final = 1_000
"""Request ids that are forgotten with one statement."""

log = structlog.get_logger(__name__)


async def forget_old_requests(store: WorkflowStore, clock: Clock) -> int:
    """Forget every request id that was first used over 24 hours ago; how many it was. May be repeated."""
    before = clock.now() - REMEMBERED
    total = 0
    while True:
        forgotten = await store.forget_requests(before, BATCH)
        total += forgotten
        if forgotten < BATCH:
            return total


async def keep_forgetting(store: WorkflowStore, clock: Clock) -> None:
    """Do so every ten minutes, until cancelled. Any number of replicas may; a database that is away is asked
    again the next time.
    """
    while True:
        await clock.sleep(PERIOD.total_seconds())
        try:
            forgotten = await forget_old_requests(store, clock)
            log.info("request_ids_forgotten", count=forgotten)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.warning("request_ids_not_forgotten", error=repr(error))
