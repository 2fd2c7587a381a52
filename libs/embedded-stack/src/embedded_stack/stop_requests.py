"""Ctrl-C, SIGTERM and SIGHUP as requests that a task can await."""

import asyncio
import signal
from types import TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequests:
    """The user's requests to stop, one after another. They do not interrupt the process."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[signal.Signals] = asyncio.Queue()

    async def next(self) -> signal.Signals:
        """Wait for the next request."""
        return await self._queue.get()

    async def unless_done(self, task: asyncio.Task[Any]) -> signal.Signals | None:
        """Wait for a task; return the request that came before its end, or None if it ended first."""
        request = asyncio.create_task(self.next())
        try:
            await asyncio.wait({task, request}, return_when=asyncio.FIRST_COMPLETED)
            return None if task.done() else request.result()
        finally:
            request.cancel()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._queue.put_nowait, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
