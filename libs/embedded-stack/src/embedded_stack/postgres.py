"""One PostgreSQL server process over a data directory that was set up before."""

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from embedded_stack.errors import StackError
from embedded_stack.layout import Layout
from embedded_stack.leftovers import wait_until_unused
from embedded_stack.postgres_settings import postgres_arguments
from embedded_stack.processes import Child, Command, run_tool, server_environment

START_TIMEOUT_SECONDS = 60.0
"""Enough for the recovery of a gigabyte of WAL after a crash."""

STOP_TIMEOUT_SECONDS = 20.0

_POLL_SECONDS = 0.01
_STATUS_LINE = 7
_ORPHANS_TIMEOUT_SECONDS = 15.0


@dataclass
class Postgres:
    """A server that can be started, stopped and killed again and again.

    `name` names its log and data directory. `settings` are added to the common ones.
    """

    name: str
    layout: Layout
    port: int
    fsync: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    _child: Child | None = None

    @property
    def directory(self) -> Path:
        """Its data."""
        return self.layout.state / self.name

    @property
    def log(self) -> Path:
        """What it writes to its error output."""
        return self.layout.logs / f"postgres-{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.exit_code is None

    @property
    def crashed(self) -> bool:
        """Whether the process ended though nobody called `stop` or `kill`."""
        return self._child is not None and self._child.exit_code is not None

    def start(self) -> None:
        """Start it and wait until it answers queries. Raises StackError with the end of its log.

        Nothing happens when it runs.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process without waiting for it to answer."""
        if self.running:
            return
        self.clear_the_way()
        arguments = postgres_arguments(
            fsync=self.fsync,
            extra={
                "port": str(self.port),
                "unix_socket_directories": str(self.layout.sockets),
                **self.settings,
            },
        )
        self._child = Child.start(
            Command(
                name=f"postgres-{self.name}",
                arguments=[self.layout.binaries.postgres("postgres"), "-D", self.directory, *arguments],
                log=self.log,
                pid_file=self.layout.pids / f"postgres-{self.name}.pid",
                environment=server_environment(),
                identity=self.layout.identity,
                stop_signal=signal.SIGINT,  # "fast": sessions are ended, data is flushed
                death_signal=signal.SIGINT,
            )
        )

    def wait_until_ready(self) -> None:
        """Wait until the launched process answers queries. Raises StackError with the end of its log."""
        child = self._launched()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._says_ready(child.pid):
            if child.exit_code is not None or time.monotonic() > deadline:
                error = child.failure("PostgreSQL did not start")
                child.kill_group()
                raise error
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Begin the fast shutdown."""
        if self._child is not None:
            self._child.ask_to_stop()

    def stop(self) -> None:
        """Stop it; within the time-out cleanly. Nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop(STOP_TIMEOUT_SECONDS)
            self._child = None

    def kill(self) -> None:
        """End it as a crash would. `start` brings it back, through its recovery."""
        self._launched().kill_group()
        self._child = None

    def query(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return the rows, unaligned. Raises StackError when it fails."""
        psql: list[str | Path] = [self.layout.binaries.postgres("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        address: list[str | Path] = [
            "-h",
            self.layout.sockets,
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-d",
            database,
        ]
        arguments: list[str | Path] = [*psql, *address, "-Atc", sql]
        return run_tool(arguments, self.layout.identity, self.log)

    def _launched(self) -> Child:
        if self._child is None:
            raise StackError(f"PostgreSQL ({self.name}) is not running: call start() first")
        return self._child

    def _says_ready(self, pid: int) -> bool:
        """The server itself writes its state into the last line of this file, as pg_ctl knows."""
        lines = _lines(self.directory / "postmaster.pid")
        return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"

    def clear_the_way(self) -> None:
        """Wait for the sessions of a killed server, and drop its pid files if that pid is in use.

        PostgreSQL cannot tell, and would refuse to start; the lock of the data directory and the wait make
        this safe. Blocks for up to 15 s. Raises StackError if sessions remain. May be repeated.
        """
        if not (self.directory / "postmaster.pid").exists():
            return
        if not wait_until_unused(self.directory, _ORPHANS_TIMEOUT_SECONDS):
            raise StackError(
                f"processes of an earlier PostgreSQL still use {self.directory}: end them (see `ps`), "
                "then start again"
            )
        for pid_file in (
            self.directory / "postmaster.pid",
            self.layout.sockets / f".s.PGSQL.{self.port}.lock",
        ):
            if _names_a_process(pid_file):
                pid_file.unlink()


def _names_a_process(pid_file: Path) -> bool:
    """A zombie counts, for PostgreSQL too: a killed server may wait long for a slow init to reap it."""
    lines = _lines(pid_file)
    return bool(lines and lines[0].isdigit()) and Path("/proc", lines[0]).exists()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
