"""Cancel background tasks reliably."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 0.2


async def cancel_all(
    tasks: Iterable[asyncio.Task[Any]], *, again_after: float = CANCEL_AGAIN_SECONDS
) -> None:
    """Cancel tasks until all of them have ended, with or without an error. May be repeated.

    One cancellation may not be enough: if it arrives together with a result, Python 3.11's `asyncio.wait_for`
    swallows it, and redis-py uses that function to send. So cancel again every `again_after` seconds.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_after)
