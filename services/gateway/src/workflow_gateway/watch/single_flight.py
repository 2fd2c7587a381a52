"""Many askers of the same question, one answer under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class SingleFlight(Generic[R]):
    """Runs `ask(key)` once for all who want it while it runs.

    An asker that is cancelled does not disturb the others. A failure goes to all of them.
    """

    def __init__(self, ask: Callable[..., Awaitable[R]]) -> None:
        self._ask = ask
        self._under_way: dict[Hashable, asyncio.Task[R]] = {}

    async def get(self, *key: Any) -> R:
        """The answer of `ask(*key)`."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._run(key))
            task.add_done_callback(_retrieved)
        return await asyncio.shield(task)

    async def _run(self, key: tuple[Any, ...]) -> R:
        try:
            return await self._ask(*key)
        finally:
            del self._under_way[key]

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Retrieve the error: if no caller is left to get it, asyncio would log a complaint."""
    if not task.cancelled():
        task.exception()
