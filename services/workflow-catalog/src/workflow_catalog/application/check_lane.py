"""Checks of definitions, one after another, with a limit of those that wait."""

from __future__ import annotations

import asyncio

from workflow_catalog.domain.errors import TooManyChecksError
from workflow_catalog.domain.limits import MAX_WAITING_CHECKS


class CheckLane:
    """Lets one check run at a time; use it with `async with`.

    Checks run in a thread, and threads share one interpreter: more at once would only slow the other calls. A
    caller that would have to wait behind MAX_WAITING_CHECKS others is refused with TooManyChecksError.
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
