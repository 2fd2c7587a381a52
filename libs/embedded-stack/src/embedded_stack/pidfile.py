"""Pid files that cannot name a wrong process, because they contain its start time too."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_START_TIME_FIELD = 19
"""Index of the start time in /proc/PID/stat, counted after the program's name."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """The content of a pid file."""

    pid: int
    start_token: str
    stop_signal: signal.Signals
    """The signal that asks the process to end."""

    def still_runs(self) -> bool:
        """Return whether this process still runs, and not another one with the same pid."""
        return start_token(self.pid) == self.start_token


def write_pid_file(path: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Record a process that has just started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{pid} {start_token(pid)} {stop_signal.name}\n")


def read_pid_file(path: Path) -> PidFile | None:
    """Return the content of the file, or None if it is missing or damaged."""
    try:
        pid, token, stop_signal = path.read_text().split()
        return PidFile(int(pid), token, signal.Signals[stop_signal])
    except (OSError, ValueError, KeyError):
        return None


def start_token(pid: int) -> str | None:
    """Return what tells this process from any other that ever has its pid; None when no such process runs."""
    if sys.platform != "linux":
        return _start_token_of_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{_boot_id()}:{fields[_START_TIME_FIELD]}"


def _start_token_of_ps(pid: int) -> str | None:
    result = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "_".join(result.stdout.split()) or None


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
