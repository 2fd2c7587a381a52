"""End the processes that a killed supervisor left behind, and no other process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from embedded_stack.pidfile import PidFile, read_pid_file, start_token

STACK_VARIABLE = "EMBEDDED_STACK_DATA_DIR"
"""Every child and every process that it forks has this variable. It names the stack of the process."""

_GRACE_SECONDS = 30.0
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.02
_SESSION_FIELD = 3


def stop_leftovers(pid_directory: Path, data_directory: Path) -> list[str]:
    """End the processes in the pid files of an earlier supervisor, and return their names.

    Ask all of them to stop. If they do not end in time, kill them and the processes that they forked. The
    caller must hold the lock of the data directory.
    """
    recorded = {path: read_pid_file(path) for path in sorted(pid_directory.glob("*.pid"))}
    running = {path: entry for path, entry in recorded.items() if entry is not None and entry.still_runs()}
    for entry in running.values():
        _signal(os.kill, entry.pid, entry.stop_signal)
    _wait_until(lambda: not any(entry.still_runs() for entry in running.values()), _GRACE_SECONDS)
    for path, noted in recorded.items():
        if noted is not None:
            _kill_rest(noted, data_directory)
        path.unlink(missing_ok=True)
    return [path.stem for path in running]


def wait_until_unused(directory: Path, timeout_seconds: float) -> bool:
    """Wait until the directory is no process's working directory (Linux; elsewhere return True at once)."""
    return _wait_until(lambda: next(_processes_in(directory), None) is None, timeout_seconds)


def _kill_rest(entry: PidFile, data_directory: Path) -> None:
    if entry.still_runs():
        _signal(os.killpg, entry.pid, signal.SIGKILL)
        _wait_until(lambda: not entry.still_runs(), _KILL_SECONDS)
    orphans = list(_orphans_of_session(entry.pid, data_directory))
    for pid in orphans:
        _signal(os.kill, pid, signal.SIGKILL)
    _wait_until(lambda: not any(start_token(pid) for pid in orphans), _KILL_SECONDS)


def _orphans_of_session(session: int, data_directory: Path) -> Iterator[int]:
    marker = f"{STACK_VARIABLE}={data_directory}".encode()
    for process in _proc_directories():
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[_SESSION_FIELD]) == session and marker in environment:
            yield int(process.name)


def _processes_in(directory: Path) -> Iterator[int]:
    for process in _proc_directories():
        try:
            if (process / "cwd").readlink() == directory:
                yield int(process.name)
        except OSError:
            continue


def _proc_directories() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def _signal(send: Callable[[int, int], None], target: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or it belongs to another user
        send(target, number)


def _wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
