"""The Redis-compatible server: one Valkey process."""

import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from embedded_stack.errors import StackError
from embedded_stack.layout import Layout
from embedded_stack.processes import Child, Command, server_environment

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0

_POLL_SECONDS = 0.005


@dataclass
class Valkey:
    """A server that can start, stop and be killed repeatedly. It keeps its data if `durable`."""

    layout: Layout
    port: int
    durable: bool = True
    name: str = "valkey"
    _child: Child | None = None

    @property
    def directory(self) -> Path:
        """The directory of its data."""
        return self.layout.state / self.name

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._child is not None and self._child.exit_code is None

    @property
    def crashed(self) -> bool:
        """True if the process ended without a call of `stop` or `kill`."""
        return self._child is not None and self._child.exit_code is not None

    def start(self) -> None:
        """Start the server and wait until it answers. Raise StackError with the end of its log.

        If it runs already, do nothing.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process without waiting for it to answer."""
        if self.running:
            return
        self.directory.mkdir(exist_ok=True)
        self.layout.identity.owns(self.directory)
        self._child = Child.start(
            Command(
                name=self.name,
                arguments=[self.layout.binaries.valkey_server, *self._arguments()],
                log=self.layout.logs / f"{self.name}.log",
                pid_file=self.layout.pids / f"{self.name}.pid",
                environment=server_environment(),
                identity=self.layout.identity,
                stop_signal=signal.SIGTERM,
                death_signal=signal.SIGTERM,
            )
        )

    def wait_until_ready(self) -> None:
        """Wait until the launched process answers. Raise StackError with the end of its log."""
        child = self._launched()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if child.exit_code is not None or time.monotonic() > deadline:
                error = child.failure("Valkey did not start")
                child.kill_group()
                raise error
            time.sleep(_POLL_SECONDS)

    def clear_the_way(self) -> None:
        """Do nothing: a killed Valkey leaves nothing behind that prevents a start."""

    def ask_to_stop(self) -> None:
        """Begin the shutdown."""
        if self._child is not None:
            self._child.ask_to_stop()

    def stop(self) -> None:
        """Stop the server and keep its data. If it does not run, do nothing."""
        if self._child is not None:
            self._child.stop(STOP_TIMEOUT_SECONDS)
            self._child = None

    def kill(self) -> None:
        """End the server as a crash would. Writes of the last second may be lost."""
        self._launched().kill_group()
        self._child = None

    def _arguments(self) -> list[str | Path]:
        persistence = (
            ["--appendonly", "yes", "--appendfsync", "everysec"] if self.durable else ["--appendonly", "no"]
        )
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory),
            # If memory is full, Valkey must refuse new hints, and never drop old ones unnoticed.
            *(*persistence, "--save", "", "--maxmemory-policy", "noeviction"),
        ]

    def _launched(self) -> Child:
        if self._child is None:
            raise StackError("Valkey is not running: call start() first")
        return self._child

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
