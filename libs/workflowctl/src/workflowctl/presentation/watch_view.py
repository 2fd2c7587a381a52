"""Show an execution as it happens: a line per event, and on a terminal a progress bar below them.

with watch_view(console) as view:
    async for update in client.watch(execution_id):
        view.show(update)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Event, Execution, TaskCounts, WatchUpdate
from workflow_sdk.statuses import ExecutionStatus

from workflowctl.durations import human
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.event_lines import event_line, failure_text
from workflowctl.presentation.marks import STATUS, is_ascii

REFRESHES_PER_SECOND = 12
BAR_CHARS = 40


Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class WatchView:
    """The known state of a watched execution, and how to show it."""

    def __init__(self, console: Console, *, on_terminal: bool = False, now: Now = _now) -> None:
        self._console = console
        self._on_terminal = on_terminal
        self._now = now
        self.status = ExecutionStatus.UNKNOWN
        self.final = False
        self.counts = TaskCounts()
        self.resume_token = ""
        self._begin: datetime | None = None
        self._latest: datetime | None = None

    def show(self, update: WatchUpdate) -> None:
        """Process one update of a watch, and print it."""
        self.resume_token = update.resume_token
        if update.snapshot is not None:
            self._take_snapshot(update.snapshot)
        if update.event is not None:
            self._take_event(update.event)

    def _take_snapshot(self, execution: Execution) -> None:
        self.status, self.final, self.counts = execution.status, execution.final, execution.task_counts
        self._begin = execution.create_time
        self._latest = execution.end_time
        print_line(self._console, _headline(execution, self._console))
        if execution.failure is not None:
            print_line(self._console, Text(failure_text(execution.failure), style="red"))

    def _take_event(self, event: Event) -> None:
        self.status, self.final, self.counts = event.status, event.final, event.task_counts
        self._begin = self._begin or event.time
        self._latest = event.time
        line = event_line(event, self._console)
        if not self._on_terminal:
            line.append(f"  {self.counts.ended}/{self.counts.total}", style="dim")
        print_line(self._console, line)

    @property
    def elapsed_seconds(self) -> float | None:
        """Return the time from the start to the latest event."""
        if self._begin is None or self._latest is None:
            return None
        return (self._latest - self._begin).total_seconds()

    def footer(self) -> RenderableType:
        """Return the progress bar with the counts and the elapsed time."""
        if self._begin is None:  # nothing is known of the execution yet
            return Text()
        counts, mark = self.counts, STATUS[self.status]
        bar: RenderableType = ProgressBar(
            total=max(1, counts.total),
            completed=counts.ended,
            width=BAR_CHARS,
            complete_style=mark.style if self.final else "cyan",
            finished_style=mark.style if self.final else "cyan",
        )
        if is_ascii(self._console):
            filled = BAR_CHARS * counts.ended // max(1, counts.total)
            bar = Text("#" * filled + "-" * (BAR_CHARS - filled))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            Text(f"{mark.on(self._console)} {self.status}", style=mark.style),
            bar,
            Text(f"{counts.ended}/{counts.total}", style="bold"),
            Text(human((self._now() - self._begin).total_seconds()), style="dim"),
            counts_text(counts),
        )
        return Group(Text(), row)


def counts_text(counts: TaskCounts) -> Text:
    """Return the counts that are not zero, in their colours."""
    parts = (
        (counts.running, "running", "cyan"),
        (counts.failed, "failed", "bold red"),
        (counts.cancelled, "cancelled", "magenta"),
        (counts.skipped, "skipped", "dim"),
    )
    return Text("  ").join(Text(f"{number} {word}", style=style) for number, word, style in parts if number)


def summary(view: WatchView, console: Console) -> Text:
    """Return the last line: how the execution ended, and how long it took."""
    mark = STATUS[view.status]
    line = Text(f"{mark.on(console)} {view.status}", style=mark.style)
    if view.elapsed_seconds is not None:
        line.append(f" in {human(view.elapsed_seconds)}", style="not bold")
    line.append(f"  {view.counts.ended} of {view.counts.total} task runs ended", style="dim not bold")
    return line


def _headline(execution: Execution, console: Console) -> Text:
    mark = STATUS[execution.status]
    line = Text("execution ", style="dim")
    line.append(execution.execution_id, style="bold not dim")
    line.append(f" of {execution.workflow_id} v{execution.version}  ")
    line.append(f"{mark.on(console)} {execution.status}", style=f"not dim {mark.style}")
    return line


@contextmanager
def watch_view(console: Console) -> Iterator[WatchView]:
    """Yield a view on this console.

    The progress bar appears only on a terminal, and disappears at the end.
    """
    view = WatchView(console, on_terminal=console.is_terminal)
    if not console.is_terminal:
        yield view
        return
    footer = Live(
        console=console,
        get_renderable=view.footer,
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
    )
    with footer:
        yield view
