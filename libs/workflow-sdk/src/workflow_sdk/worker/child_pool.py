"""The child processes of a worker: started before tasks arrive, used many times, replaced when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from workflow_sdk.backoff import Backoff
from workflow_sdk.worker.child_process import ChildFailedError, ChildProcess, ChildSetup

STARTS_AT_ONCE = 4
MAX_PAUSE_SECONDS = 10.0
"""The longest pause between two tries to start a process."""
HAND_BACK_SECONDS = 5.0
"""How long a task waits for a process while no process can be started."""
MAX_SHOWN_CHARS = 1000
"""The longest description of a problem in the log."""

log = logging.getLogger("workflow_sdk.worker")


class NoChildProcessError(Exception):
    """No child process can be started; the text says why. The handler has not begun."""


class ChildPool:
    """Keeps `size` child processes ready, from `start` to `close`."""

    def __init__(
        self,
        size: int,
        setup: ChildSetup,
        *,
        max_pause_seconds: float = MAX_PAUSE_SECONDS,
        hand_back_seconds: float = HAND_BACK_SECONDS,
    ) -> None:
        self._size = size
        self._max_pause_seconds = max_pause_seconds
        self._hand_back_seconds = hand_back_seconds
        self._setup = setup
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._idle: asyncio.LifoQueue[ChildProcess] = asyncio.LifoQueue()
        self._children: set[ChildProcess] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._untried = size
        self._ready = asyncio.Event()
        self.problem = ""
        """Why the latest process could not be started; empty when the latest one did start."""

    @property
    def usable(self) -> int:
        """The number of processes that run a handler or can run one."""
        return sum(child.usable for child in self._children)

    @property
    def pids(self) -> list[int]:
        """The process ids of the existing children."""
        return [child.pid for child in self._children]

    def start(self, on_process: Callable[[], None]) -> None:
        """Start the processes, and replace each one that ends. A second call does nothing.

        `on_process` is called whenever there is one more process.
        """
        self._keepers = self._keepers or [
            asyncio.create_task(self._keep_one(on_process)) for _ in range(self._size)
        ]

    async def ready(self) -> None:
        """Wait until there is a process and every other one has started or failed to start."""
        await self._ready.wait()

    @asynccontextmanager
    async def child(self) -> AsyncIterator[ChildProcess]:
        """Lend a child to the caller. Callers wait for one in the order of their calls.

        Raise NoChildProcessError if there is no child and none can be started.
        """
        child = await self._next_reusable()
        try:
            yield child
        finally:
            if child.reusable:
                self._idle.put_nowait(child)
            else:
                await child.kill()

    async def close(self) -> None:
        """End all children: close idle ones, kill the others."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        children, self._children = self._children, set()
        await asyncio.gather(*(child.close() if child.reusable else child.kill() for child in children))

    async def _next_reusable(self) -> ChildProcess:
        while True:
            child = await self._next_idle()
            if child.reusable:
                return child

    async def _next_idle(self) -> ChildProcess:
        while True:
            try:
                async with asyncio.timeout(self._hand_back_seconds):
                    return await self._idle.get()
            except TimeoutError:
                if self.problem and not self._children:
                    raise NoChildProcessError(self.problem) from None

    async def _keep_one(self, on_process: Callable[[], None]) -> None:
        """Keep one process running. Pause after one that did not start, or ended before its first task."""
        backoff = Backoff(maximum=self._max_pause_seconds)
        first = True
        while True:
            child = await self._start_one()
            if child is not None:
                on_process()
            self._untried -= first
            first = False
            if not self._untried and self._children:
                self._ready.set()
            if child is not None:
                await child.gone.wait()
                self._children.discard(child)
                if child.runs:
                    backoff.reset()
                    continue
                self._note("a child process ended before its first task: see its output")
            await asyncio.sleep(backoff.next())

    async def _start_one(self) -> ChildProcess | None:
        try:
            async with self._starting:
                child = await ChildProcess.start(self._setup)
        except ChildFailedError as error:
            self._note(str(error))
            return None
        except Exception as error:  # the next try may succeed
            self._note(f"{type(error).__name__}: {error}", error)
            return None
        self._note("")
        self._children.add(child)
        self._idle.put_nowait(child)
        return child

    def _note(self, problem: str, error: Exception | None = None) -> None:
        """Log a problem once, and then its end. Log the traceback of an `error` unless it is an OSError."""
        if problem and problem != self.problem:
            shown = problem[:MAX_SHOWN_CHARS]
            log.error(
                "a child process for sync tasks could not be started: %s; the worker tries again",
                shown,
                exc_info=None if isinstance(error, OSError) else error,
                extra={"event": "child_process_not_started", "problem": shown},
            )
        elif self.problem and not problem:
            log.info("a child process has started again", extra={"event": "child_process_started_again"})
        self.problem = problem
