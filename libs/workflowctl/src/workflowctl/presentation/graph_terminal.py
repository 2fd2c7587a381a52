"""Draw a graph in lines of text: dots and lanes to the left, and the task of each dot to the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from workflowctl.presentation.graph_layout import DOWN, LEFT, RIGHT, UP, Cell, Layout, Row, layout
from workflowctl.presentation.graph_tasks import GraphTask
from workflowctl.presentation.marks import Mark, is_ascii

MAX_ID_CHARS = 32
MAX_TYPE_CHARS = 28
MAX_COLUMNS = 24
LABEL_CHARS = 44
LANE_STYLES = ("cyan", "green", "yellow", "magenta", "blue", "red")
PLAIN = Mark("●", "*", "bold")
CONDITIONAL = Mark("◆", "?", "bold yellow")
FAN_OUT = Mark("◉", "@", "bold magenta")
BOTH = Mark("◈", "%", "bold magenta")
_UNICODE = {
    UP | DOWN: "│",
    LEFT | RIGHT: "─",
    DOWN | RIGHT: "╭",
    DOWN | LEFT: "╮",
    UP | RIGHT: "╰",
    UP | LEFT: "╯",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    DOWN | LEFT | RIGHT: "┬",
    UP | LEFT | RIGHT: "┴",
    UP | DOWN | LEFT | RIGHT: "┼",
}
_ASCII = {
    UP | DOWN: "|",
    LEFT | RIGHT: "-",
    DOWN | RIGHT: ".",
    DOWN | LEFT: ".",
    UP | RIGHT: "`",
    UP | LEFT: "'",
}


def graph_lines(title: str, tasks: Sequence[GraphTask], console: Console) -> Iterator[Text]:
    """Return the drawing, no wider than the console. Equal tasks have equal drawings.

    Raise CycleError if tasks need each other in a circle.
    """
    ascii_only = is_ascii(console)
    found = layout(tasks, max(4, min(MAX_COLUMNS, (console.width - LABEL_CHARS) // 2)))
    yield _head(title, tasks, found)
    ids = min(MAX_ID_CHARS, max((len(task.id) for task in tasks), default=0))
    types = min(MAX_TYPE_CHARS, max((len(task.type) for task in tasks), default=0))
    for row in found.rows:
        line = _drawn(row, console)
        if row.task is not None:
            line.append(" " * (2 * found.columns + 1 - line.cell_len))
            line.append_text(_label(row.task, ids, types, row.cut, ascii_only))
        line.rstrip()
        line.truncate(console.width, overflow="crop" if ascii_only else "ellipsis")
        yield line
    if legend := _legend(tasks, found, console):
        yield Text()
        yield legend


def _head(title: str, tasks: Sequence[GraphTask], found: Layout) -> Text:
    number = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    layers = "1 layer" if found.layer_count == 1 else f"{found.layer_count} layers"
    return Text(title, style="bold").append(f"  {number} in {layers}", style="not bold dim")


def _drawn(row: Row, console: Console) -> Text:
    glyphs, ascii_only = Text(), is_ascii(console)
    cells = list(row.cells)
    while cells and not (cells[-1].lines or cells[-1].is_task):
        cells.pop()
    for cell in cells:
        if cell.is_task and row.task is not None:
            mark = _mark(row.task)
            glyphs.append(mark.on(console), style=mark.style)
        else:
            glyphs.append(_glyph(cell, ascii_only), style=_style(cell.lane))
        line = " " if cell.right_lane is None else "-" if ascii_only else "─"
        glyphs.append(line, style=_style(cell.right_lane))
    return glyphs


def _glyph(cell: Cell, ascii_only: bool) -> str:
    lines = UP | DOWN if cell.crossed else cell.lines
    if not lines:
        return " "
    return _ASCII.get(lines, "+") if ascii_only else _UNICODE[lines]


def _style(lane: int | None) -> str:
    return "" if lane is None else LANE_STYLES[lane % len(LANE_STYLES)]


def _mark(task: GraphTask) -> Mark:
    if task.when:
        return BOTH if task.fan_out else CONDITIONAL
    return FAN_OUT if task.fan_out else PLAIN


def _label(task: GraphTask, ids: int, types: int, cut: bool, ascii_only: bool) -> Text:
    label = Text(f"{_said(task.id, ascii_only):<{ids}}", style="bold")
    label.append(f"  {_said(task.type, ascii_only):<{types}}", style="not bold cyan")
    if task.fan_out:
        times = f"x{task.fan_out[1:]}" if ascii_only else task.fan_out
        label.append(f"  {times}", style="not bold magenta")
        label.append(f" {_said(task.items, ascii_only)}" if task.items else "", style="not bold dim")
    if task.when:
        label.append("  when ", style="not bold yellow").append(
            _said(task.when, ascii_only), style="not bold dim"
        )
    if task.child:
        label.append(f"  runs {_said(task.child, ascii_only)}", style="not bold green")
    if cut:
        arrow = "<-" if ascii_only else "←"
        label.append(f"  {arrow} {_said(', '.join(task.needs), ascii_only)}", style="not bold dim")
    if task.missing:
        missing = _said(", ".join(task.missing), ascii_only)
        label.append(f"  needs missing tasks: {missing}", style="not bold red")
    return label


def _legend(tasks: Sequence[GraphTask], found: Layout, console: Console) -> Text | None:
    marks = {_mark(task) for task in tasks}
    parts = [
        f"{mark.on(console)} {meaning}"
        for mark, meaning in (
            (CONDITIONAL, "if its condition holds"),
            (FAN_OUT, "once per item"),
            (BOTH, "once per item, if its condition holds"),
        )
        if mark in marks
    ]
    if found.cut_count:
        parts.append(f"{'<-' if is_ascii(console) else '←'} lines that had no room")
    return Text("   ".join(parts), style="dim") if parts else None


def _said(text: str, ascii_only: bool) -> str:
    """Return the text on one line, in characters that the console can show.

    Control characters become escapes.
    """
    text = "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text)
    text = " ".join(text.split())
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text
