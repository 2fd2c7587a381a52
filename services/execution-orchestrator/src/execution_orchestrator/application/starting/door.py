"""The door for single starts: those that arrive together share one question to the catalog.

While one batch of starts commits, the next one asks the catalog, and further starts gather at the door. So a
busy replica asks few questions. A start is answered as soon as it is committed, whatever its batch does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from service_kit.tools.batching import BatchQueue, Entry

from execution_orchestrator.application.engine.work import WorkResult

BATCHES_IN_FLIGHT: Final = 2
"""While this number of batches commit, no further batch asks the catalog."""
PATIENCE_SECONDS: Final = 0.25
"""How long the door waits for one of them. So slow starts, such as those with large inputs, keep it open."""

Accepted = WorkResult | asyncio.Future[WorkResult]
"""A committed start, or one whose commit may take so long that its batch does not wait for it."""

Q = TypeVar("Q")
V = TypeVar("V")


class Door(BatchQueue[Q, WorkResult], Generic[Q, V]):
    """A queue of single starts.

    `resolve` asks the catalog for the versions of a batch, in order. `accept` checks and commits one start.
    If the start fails, `accept` returns the error.
    """

    def __init__(
        self,
        resolve: Callable[[Sequence[Q]], Awaitable[Sequence[V]]],
        accept: Callable[[Q, V], Awaitable[Accepted | Exception]],
    ) -> None:
        super().__init__()
        self.patience_seconds = PATIENCE_SECONDS
        self._resolve = resolve
        self._accept_start = accept
        self._committing: list[asyncio.Future[list[BaseException | None]]] = []

    async def handle_entries(self, entries: Sequence[Entry[Q, WorkResult]]) -> None:
        """Ask the catalog for the batch; from there each start goes its own way."""
        versions = await self._resolve([entry.item for entry in entries])
        ways = (self._commit(*each) for each in zip(entries, versions, strict=True))
        self._committing.append(asyncio.gather(*ways, return_exceptions=True))
        await self._wait_for_room()

    async def _commit(self, entry: Entry[Q, WorkResult], version: V) -> None:
        try:
            accepted = await self._accept_start(entry.item, version)
        except asyncio.CancelledError:
            entry.future.cancel()
            raise
        if isinstance(accepted, asyncio.Future):
            entry.is_open = False
            accepted.add_done_callback(partial(_settle, entry))
        else:
            entry.settle(accepted)

    async def _wait_for_room(self) -> None:
        self._committing = [batch for batch in self._committing if not batch.done()]
        if len(self._committing) < BATCHES_IN_FLIGHT:
            return
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait(self._committing, timeout=self.patience_seconds, return_when=first)
        if not done:
            self._committing.clear()  # they are slow: do not wait for them again


def _settle(entry: Entry[Q, WorkResult], done: asyncio.Future[WorkResult]) -> None:
    if done.cancelled():
        entry.future.cancel()
        return
    error = done.exception()
    if error is None:
        entry.settle(done.result())
    elif isinstance(error, Exception):
        entry.settle(error)
