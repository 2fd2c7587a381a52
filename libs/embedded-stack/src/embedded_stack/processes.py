"""Child processes that never outlive their supervisor unnoticed.

Each child leads a new session. So Ctrl-C in a terminal reaches the supervisor first, and a signal to the
session reaches every process that the child forks. On Linux the kernel signals a child when the thread that
started it ends, so start children from a thread that lives longer than they. Elsewhere, and in the worst
case, the next start finds a child by its pid file (see leftovers.py).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from embedded_stack.errors import StackError
from embedded_stack.identity import OWN, Identity
from embedded_stack.logs import open_log, tail
from embedded_stack.pidfile import write_pid_file

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run, and how to run it."""

    name: str
    """The name of the child, unique in its data directory; log and pid file are named after it."""
    arguments: Sequence[str | Path]
    log: Path
    pid_file: Path
    environment: Mapping[str, str] = field(repr=False)
    """It contains passwords."""
    directory: Path = Path("/")
    identity: Identity = OWN
    stop_signal: signal.Signals = signal.SIGTERM
    """The signal that asks the child to end."""
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that the kernel sends to the child when its supervisor dies (Linux)."""


class Child:
    """A running child process."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], log_start_bytes: int) -> None:
        self.command = command
        self._log_start_bytes = log_start_bytes
        self.started_monotonic = time.monotonic()
        self._process = process
        self._forgotten = False

    @classmethod
    def start(cls, command: Command) -> "Child":
        """Start a child.

        Raise StackError if it cannot be executed, and OSError if its files cannot be written.
        """
        with open_log(command.log) as log:
            start_bytes = log.seek(0, os.SEEK_END)
            process = _popen(command, log.fileno())
        child = cls(command, process, start_bytes)
        try:
            write_pid_file(command.pid_file, process.pid, command.stop_signal)
        except OSError:
            child.kill_group()  # without a pid file, no later start could find it
            raise
        return child

    @property
    def name(self) -> str:
        """The name of its command."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its session."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while the child runs.

        If a signal ended it, the negative number of the signal.
        """
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the process alone. If it has ended, do nothing."""
        self._process.send_signal(number)

    def kill_group(self) -> None:
        """Kill the process and every process that it forked, and delete its pid file. May be repeated."""
        if self._forgotten:
            return  # the number may belong to another group now
        self._forgotten = True
        # macOS answers "not permitted" for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.command.pid_file.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Send the stop signal. If the child has ended, do nothing."""
        self.send(self.command.stop_signal)

    def stop(self, timeout_seconds: float) -> bool:
        """Ask the child to stop, and kill it after the time-out. Return True if it ended before."""
        self.ask_to_stop()
        ended = self.wait(timeout_seconds)
        self.kill_group()
        return ended

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end of the child. Return False if it still runs after the time-out."""
        deadline = time.monotonic() + timeout_seconds
        while self.exit_code is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    async def ended(self) -> int:
        """Wait for the end of the child and return its exit code."""
        return await end_of(self._process)

    def failure(self, what: str) -> StackError:
        """Return the error of a child that failed; `what` says what was not done."""
        code = self.exit_code
        ended = "did not answer in time" if code is None else f"ended with {describe_exit(code)}"
        log = self.command.log
        lines = tail(log, from_bytes=self._log_start_bytes)
        said = f"The end of its log, {log}:{lines}" if lines else f"It wrote nothing into its log, {log}"
        return StackError(f"{what}: {self.name} {ended}. {said}")


async def end_of(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a process and return its exit code."""
    # An event instead of polling would cost a thread per process.
    while (code := process.poll()) is None:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    return code


def describe_exit(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def server_environment() -> dict[str, str]:
    """Return the environment of PostgreSQL and Valkey, without a PGPORT or PGDATA of the shell."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**inherited, "LC_ALL": "C", "TZ": "UTC"}


def run_tool(arguments: Sequence[str | Path], identity: Identity, log: Path, *, stdin: str = "") -> str:
    """Run a tool of a server (initdb, psql) to its end and return its output.

    If it fails, raise StackError with its error output.
    """
    words = [str(argument) for argument in arguments]
    with open_log(log) as errors, _harmless_fork():
        start_bytes = errors.seek(0, os.SEEK_END)
        result: subprocess.CompletedProcess[bytes] = subprocess.run(
            words,
            check=False,
            cwd="/",
            env=server_environment(),
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # the supervisor handles Ctrl-C
            preexec_fn=_become(identity, signal.SIGKILL),
            **identity.popen_arguments(),
        )
    if result.returncode != 0:
        name = Path(words[0]).name
        ended = f"{name} ended with {describe_exit(result.returncode)}"
        raise StackError(f"{ended}. The end of {log}:{tail(log, from_bytes=start_bytes)}")
    return result.stdout.decode().strip()


def _popen(command: Command, log: int) -> subprocess.Popen[bytes]:
    try:
        with _harmless_fork():
            return subprocess.Popen(
                [str(argument) for argument in command.arguments],
                cwd=command.directory,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_become(command.identity, command.death_signal),
                **command.identity.popen_arguments(),
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(f"cannot start {command.name} ({command.arguments[0]}): {error}") from error


def _become(identity: Identity, death_signal: signal.Signals) -> Callable[[], None]:
    """Return the function that a new child calls before it executes its program."""
    die = die_with_parent(death_signal)

    def become() -> None:
        identity.enter()
        die()  # last, because the kernel drops it at a change of user

    return become


@contextmanager
def _harmless_fork() -> Iterator[None]:
    """Suppress Python's warning about a fork with threads: the child makes only system calls before it
    executes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return the function with which a new child asks for a signal when this process dies (Linux only)."""
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)  # the parent died in between

    return ask_the_kernel
