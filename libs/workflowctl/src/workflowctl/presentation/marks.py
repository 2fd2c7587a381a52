"""Marks and colours: each thing that can happen has the same mark and colour everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from workflow_sdk.statuses import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign, its spelling in ASCII, and its colour."""

    sign: str
    ascii: str
    style: str

    def on(self, console: Console) -> str:
        """Return the sign that this console can show."""
        return self.ascii if is_ascii(console) else self.sign


STATUS: dict[ExecutionStatus, Mark] = {
    ExecutionStatus.PENDING: Mark("○", "o", "yellow"),
    ExecutionStatus.RUNNING: Mark("●", "*", "cyan"),
    ExecutionStatus.COMPLETED: Mark("✔", "+", "bold green"),
    ExecutionStatus.FAILED: Mark("✘", "x", "bold red"),
    ExecutionStatus.CANCELLED: Mark("■", "#", "bold magenta"),
    ExecutionStatus.PAUSED: Mark("‖", "=", "bold yellow"),
    ExecutionStatus.UNKNOWN: Mark("?", "?", "dim"),
}

TASK_STATUS: dict[str, Mark] = {
    "BLOCKED": Mark("·", ".", "dim"),
    "READY": Mark("○", "o", "yellow"),
    "RUNNING": Mark("▶", ">", "cyan"),
    "BACKING_OFF": Mark("↻", "~", "yellow"),
    "WAITING": Mark("○", "o", "yellow"),
    "SUCCEEDED": Mark("✔", "+", "green"),
    "FAILED": Mark("✘", "x", "bold red"),
    "CANCELLED": Mark("■", "#", "magenta"),
    "SKIPPED": Mark("↷", "-", "dim"),
}
ATTEMPT_STATUS: dict[str, Mark] = {
    **TASK_STATUS,
    "LEASED": Mark("▶", ">", "cyan"),
    "TIMED_OUT": Mark("✘", "x", "bold red"),
    "LOST": Mark("✘", "x", "yellow"),
    "HANDED_BACK": Mark("↻", "~", "yellow"),
}
UNKNOWN = Mark("?", "?", "dim")

DONE = Mark("✔", "+", "bold green")
REFUSED = Mark("✘", "x", "bold red")
CHANGED = Mark("~", "~", "yellow")
ADDED = Mark("+", "+", "green")
REMOVED = Mark("-", "-", "red")


def is_ascii(console: Console) -> bool:
    """Return whether the console can show only ASCII."""
    return console.options.ascii_only


def arrow(console: Console) -> str:
    """Return an arrow from a value before to the value after."""
    return "->" if is_ascii(console) else "→"
