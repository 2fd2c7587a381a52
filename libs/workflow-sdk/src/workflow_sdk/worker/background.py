"""Background work of a worker. If it fails, the error is logged, and it starts again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workflow_sdk.backoff import Backoff

MAX_PAUSE_SECONDS = 1.0
"""The longest pause before a restart. It is short because the renewal of leases is such work."""

log = logging.getLogger("workflow_sdk.worker")


async def keep_running(work: Callable[[], Awaitable[None]], name: str) -> None:
    """Run `work` until cancelled. If it fails or returns, log that and start it again.

    The same error is logged once.
    """
    backoff = Backoff(maximum=MAX_PAUSE_SECONDS)
    logged = ""
    while True:
        try:
            await work()
            raise RuntimeError("it ended although nobody stopped it")
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != logged:
                logged = problem
                log.exception(
                    "%s failed and starts again; this is a defect, please report it",
                    name,
                    extra={"event": "background_work_failed", "work": name, "problem": problem},
                )
        await asyncio.sleep(backoff.next())
