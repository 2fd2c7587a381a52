"""The child processes of a worker: started when first needed, used again and again, replaced when killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from workflow_sdk.worker.child_process import ChildProcess


class ChildPool:
    """At most `size` child processes, each of which imports `modules` at its start."""

    def __init__(self, size: int, modules: Sequence[str]) -> None:
        self._modules = modules
        self._free = asyncio.Semaphore(size)
        self._idle: list[ChildProcess] = []
        self._children: set[ChildProcess] = set()

    @property
    def pids(self) -> list[int]:
        """The process ids of the children there are."""
        return [child.pid for child in self._children]

    @asynccontextmanager
    async def child(self) -> AsyncIterator[ChildProcess]:
        """A child of one's own for a while, after waiting for one in the order of asking.

        Raises ChildFailedError where a new one can't be started.
        """
        async with self._free:
            child = await self._take()
            try:
                yield child
            finally:
                await self._give_back(child)

    async def close(self) -> None:
        """End all children: idle ones are let go, others killed."""
        children, self._children = self._children, set()
        self._idle.clear()
        await asyncio.gather(*(child.close() if child.reusable else child.kill() for child in children))

    async def _take(self) -> ChildProcess:
        while self._idle:
            child = self._idle.pop()
            if child.reusable:
                return child
            await self._discard(child)
        child = await ChildProcess.start(self._modules)
        self._children.add(child)
        return child

    async def _give_back(self, child: ChildProcess) -> None:
        if child.reusable:
            self._idle.append(child)
        else:
            await self._discard(child)

    async def _discard(self, child: ChildProcess) -> None:
        self._children.discard(child)
        await child.kill()
