"""The process of one PostgreSQL server, whose data directory exists already."""

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
    """A server that can start, stop and be killed repeatedly.

    Its log and its data directory are named after `name`. `settings` are added to the common ones.
    """

    name: str
    layout: Layout
    port: int
    fsync: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    _child: Child | None = None

    @property
    def directory(self) -> Path:
        """The directory of its data."""
        return self.layout.state / self.name

    @property
    def log(self) -> Path:
        """The file with its error output."""
        return self.layout.logs / f"postgres-{self.name}.log"

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._child is not None and self._child.exit_code is None

    @property
    def crashed(self) -> bool:
        """True if the process ended without a call of `stop` or `kill`."""
        return self._child is not None and self._child.exit_code is not None

    def start(self) -> None:
        """Start the server and wait until it answers queries. Raise StackError with the end of its log.

        If it runs already, do nothing.
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
                stop_signal=signal.SIGINT,  # "fast": ends sessions, flushes data
                death_signal=signal.SIGINT,
            )
        )

    def wait_until_ready(self) -> None:
        """Wait until the launched process answers queries. Raise StackError with the end of its log."""
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
        """Stop the server: cleanly, or with a kill after the time-out. If it does not run, do nothing."""
        if self._child is not None:
            self._child.stop(STOP_TIMEOUT_SECONDS)
            self._child = None

    def kill(self) -> None:
        """End the server as a crash would. `start` starts it again, and it recovers."""
        self._launched().kill_group()
        self._child = None

    def query(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return the rows, unaligned. Raise StackError if it fails."""
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
        """Return whether the server is ready. It writes its state into this file, which pg_ctl reads too."""
        lines = _lines(self.directory / "postmaster.pid")
        return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"

    def clear_the_way(self) -> None:
        """Wait for the sessions of a killed server, and delete its pid files if another process has its pid.

        PostgreSQL cannot tell the two processes apart and would refuse to start. The lock of the data
        directory and the wait make this safe. Block for up to 15 s. Raise StackError if sessions remain. May
        be repeated.
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
    """Return whether a process has this pid. A zombie counts, because it counts for PostgreSQL too."""
    lines = _lines(pid_file)
    return bool(lines and lines[0].isdigit()) and Path("/proc", lines[0]).exists()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
