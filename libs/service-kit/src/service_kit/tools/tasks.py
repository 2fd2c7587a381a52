"""Ending background tasks for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 0.2


async def cancel_all(
    tasks: Iterable[asyncio.Task[Any]], *, again_after: float = CANCEL_AGAIN_SECONDS
) -> None:
    """Cancel tasks until all of them have ended, whatever they end with. May be repeated.

    One cancellation may not be enough: Python 3.11's `asyncio.wait_for`, under which redis-py sends, swallows
    one that meets the result, and the task would go on for ever. So it is said again after so many seconds.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_after)
