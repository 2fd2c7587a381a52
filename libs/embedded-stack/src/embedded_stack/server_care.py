"""Brings a crashed server back, and never blocks the event loop meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from embedded_stack.errors import StackError
from embedded_stack.restart_pause import RestartPause

POLL_SECONDS = 0.5


class CaredForServer(Protocol):
    """What a server must offer; `Postgres` and `Valkey` do."""

    name: str

    @property
    def crashed(self) -> bool:
        """Whether the process ended though nobody called `stop` or `kill`."""
        ...

    def clear_the_way(self) -> None:
        """Wait for what a crash left behind; blocks for up to 15 s. Raises StackError if it stays."""
        ...

    def launch(self) -> None:
        """Start the process without waiting for it to answer."""
        ...


async def care_for(
    server: CaredForServer,
    say: Callable[[str], None],
    poll: float = POLL_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Start the server again whenever it crashed; it finds its data and keeps its address.

    Runs until it is cancelled. A start that fails is told by `say` and tried again after a growing pause.
    """
    pause = RestartPause()
    launched = time.monotonic()
    while True:
        await asyncio.sleep(poll)
        if not server.crashed:
            continue
        pause = pause.after(time.monotonic() - launched)
        say(f"{server.name} ended unexpectedly and starts again in {pause.seconds:g} s")
        await sleep(pause.seconds)
        launched = time.monotonic()
        try:
            # Only the waiting goes to a thread: the kernel ends a server with the thread that started it.
            await asyncio.to_thread(server.clear_the_way)
            server.launch()
        except (StackError, OSError) as error:
            say(f"{server.name} cannot start: {error}")
