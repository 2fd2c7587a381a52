"""Run checks of definitions one after another, and limit how many may wait."""

from __future__ import annotations

import asyncio

from workflow_catalog.domain.errors import TooManyChecksError
from workflow_catalog.domain.limits import MAX_WAITING_CHECKS


class CheckLane:
    """A lock for checks. Use it with `async with`: it lets one check run at a time.

    Checks run in threads, and threads share one interpreter, so several checks at once would only slow down
    other calls. Entering raises TooManyChecksError if MAX_WAITING_CHECKS callers are waiting already.
    """

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(1)
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._room.locked() and self._waiting >= MAX_WAITING_CHECKS:
            raise TooManyChecksError(MAX_WAITING_CHECKS)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._room.release()
