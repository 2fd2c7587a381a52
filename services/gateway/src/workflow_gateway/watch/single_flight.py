"""One request in flight for many callers of the same question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class SingleFlight(Generic[R]):
    """Calls `ask(*key)` once for all callers that want its answer while it runs.

    A caller that is cancelled does not disturb the others. If `ask` fails, all callers get the error.
    """

    def __init__(self, ask: Callable[..., Awaitable[R]]) -> None:
        self._ask = ask
        self._in_flight: dict[Hashable, asyncio.Task[R]] = {}

    async def get(self, *key: Any) -> R:
        """Return the answer of `ask(*key)`."""
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.create_task(self._run(key))
            task.add_done_callback(_retrieved)
        return await asyncio.shield(task)

    async def _run(self, key: tuple[Any, ...]) -> R:
        try:
            return await self._ask(*key)
        finally:
            del self._in_flight[key]

    async def close(self) -> None:
        """Cancel the requests in flight."""
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Retrieve the error: if no caller is left to get it, asyncio would log a complaint."""
    if not task.cancelled():
        task.exception()
