"""A process of a service that starts again after a crash."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from embedded_stack.errors import StackError
from embedded_stack.ports import LOOPBACK
from embedded_stack.processes import Child, Command, describe_exit
from embedded_stack.restart_pause import RestartPause
from embedded_stack.services import ServiceSpec

READY_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.05

Say = Callable[[str], None]


class ManagedService:
    """A service: one process after another, until it is stopped."""

    def __init__(self, spec: ServiceSpec, data: Path, say: Say) -> None:
        self.spec = spec
        self._say = say
        self._command = Command(
            name=spec.name,
            arguments=[sys.executable, "-m", spec.module, "serve"],
            log=data / "logs" / f"{spec.name}.log",
            pid_file=data / "run" / f"{spec.name}.pid",
            environment=spec.environment,
            directory=Path.cwd(),
            stop_signal=signal.SIGTERM,
            # Without a supervisor no one waits for a drain. A crash loses no work, because the leases expire.
            death_signal=signal.SIGKILL,
        )
        self._child = Child.start(self._command)
        self._restarts: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The name of the service in the stack."""
        return self.spec.name

    @property
    def pid(self) -> int:
        """The id of the current process; a restart changes it."""
        return self._child.pid

    async def ready(self) -> None:
        """Wait until /readyz answers 200. Raise StackError if the process ends or takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not await _answers_ready(self.spec.http_port):
            if self._child.exit_code is not None or time.monotonic() > deadline:
                raise self._child.failure("the stack did not start")
            await asyncio.sleep(_POLL_SECONDS)

    def keep_running(self) -> None:
        """Start the process again each time it ends, from now on. May be repeated."""
        if self._restarts is None:
            self._restarts = asyncio.create_task(self._restart_for_ever(), name=f"restart {self.name}")

    async def stop(self, grace_seconds: float, hurry: asyncio.Event) -> None:
        """Let the process drain; kill it after the grace, or as soon as `hurry` is set."""
        if self._restarts is not None:
            self._restarts.cancel()
            await asyncio.gather(self._restarts, return_exceptions=True)
        self._child.ask_to_stop()
        ended, hurried = asyncio.create_task(self._child.ended()), asyncio.create_task(hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        hurried.cancel()
        if self._child.exit_code is None and not hurry.is_set():
            self._say(f"{self.name} did not stop in time and was killed")
        self._child.kill_group()

    def kill(self) -> None:
        """End the process as a crash would. After `keep_running`, it starts again."""
        self._child.send(signal.SIGKILL)

    async def _restart_for_ever(self) -> None:
        pause = RestartPause()
        launched = self._child.started_monotonic
        while True:
            code = await self._child.ended()
            pause = pause.after(time.monotonic() - launched)
            self._child.kill_group()
            ended = f"{self.name} ended with {describe_exit(code)}"
            self._say(f"{ended}; it starts again in {pause.seconds:g} s (log: {self._command.log})")
            await asyncio.sleep(pause.seconds)
            launched = time.monotonic()
            self._start_again()

    def _start_again(self) -> None:
        try:
            self._child = Child.start(self._command)
        except (StackError, OSError) as error:
            # The machine may be out of processes, memory or disk: the next turn tries again.
            self._say(f"{self.name} cannot start: {error}")


async def _answers_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status = await asyncio.wait_for(reader.readline(), timeout=5)
        return status.split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
