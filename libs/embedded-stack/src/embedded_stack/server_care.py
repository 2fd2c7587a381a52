"""Start a crashed server again, without blocking the event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from embedded_stack.errors import StackError
from embedded_stack.restart_pause import RestartPause

POLL_SECONDS = 0.5


class CaredForServer(Protocol):
    """The interface of a server that `care_for` can restart, such as `Postgres` and `Valkey`."""

    name: str

    @property
    def crashed(self) -> bool:
        """True if the process ended without a call of `stop` or `kill`."""
        ...

    def clear_the_way(self) -> None:
        """Remove what a crash left behind; block for up to 15 s. Raise StackError if that fails."""
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
    """Start the server again after each crash, with its data and its address, until cancelled.

    If a start fails, report it with `say` and try again after a growing pause.
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
            # Only the wait runs on a thread: the kernel ends a server together with the thread that started
            # it.
            await asyncio.to_thread(server.clear_the_way)
            server.launch()
        except (StackError, OSError) as error:
            say(f"{server.name} cannot start: {error}")
