"""Delete request ids that are older than a day."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from service_kit.tools.clock import Clock

from workflow_catalog.application.ports import WorkflowStore

REMEMBERED: Final = timedelta(hours=24)
"""The shortest time for which the answer to a request id is stored."""

PERIOD: Final = timedelta(minutes=10)
BATCH: Final = 1_000
"""Request ids to delete with one statement."""

log = structlog.get_logger(__name__)


async def forget_old_requests(store: WorkflowStore, clock: Clock) -> int:
    """Delete every request id that was first used over 24 hours ago. Return their number. May be repeated."""
    before = clock.now() - REMEMBERED
    total = 0
    while True:
        forgotten = await store.forget_requests(before, BATCH)
        total += forgotten
        if forgotten < BATCH:
            return total


async def keep_forgetting(store: WorkflowStore, clock: Clock) -> None:
    """Call `forget_old_requests` every ten minutes until cancelled. Any number of replicas may run this.

    If the database does not answer, log a warning and try again after ten minutes.
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
