"""The changes between two definitions, as the catalog reports them: a head line, and a line per change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from workflow_sdk.statuses import enum_word
from workflow_sdk.values import from_value
from workflowsystem.catalog.v1 import report_pb2

from workflowctl.presentation.marks import ADDED, CHANGED, REMOVED, UNKNOWN, arrow, is_ascii

MAX_VALUE_CHARS = 60
_MARKS = {
    report_pb2.CHANGE_KIND_ADDED: ADDED,
    report_pb2.CHANGE_KIND_REMOVED: REMOVED,
    report_pb2.CHANGE_KIND_CHANGED: CHANGED,
}
_CLASS_STYLES = {"PATCH": "green", "MINOR": "yellow", "MAJOR": "bold red", "NONE": "green"}
_MEANINGS = {
    "PATCH": "the same work",
    "MINOR": "other work; every input that was accepted still is",
    "MAJOR": "an input that was accepted may no longer be",
}


def class_word(difference: Any) -> str:
    """Return NONE, PATCH, MINOR or MAJOR."""
    return enum_word(report_pb2.ChangeClass, difference.change_class)


def difference_head(workflow_id: str, difference: Any, target: str, console: Console) -> Text:
    """Return the line `orders  version 2 → draft  MINOR, 3 changes: …`."""
    line = Text(workflow_id, style="bold")
    if not difference.base_version:
        return line.append("  no version is active, so there is nothing to compare with", style="not bold")
    versions = f"  version {difference.base_version} {arrow(console)} {target}  "
    line.append(versions, style="not bold")
    if difference.change_class == report_pb2.CHANGE_CLASS_NONE:
        return line.append("nothing differs", style="not bold green")
    word, number = class_word(difference), len(difference.changes)
    line.append(word, style=f"not bold {_CLASS_STYLES.get(word, '')}")
    changes = "1 change" if number == 1 else f"{number:,} changes"
    return line.append(f", {changes}: {_MEANINGS.get(word, 'see below')}", style="not bold")


def change_lines(changes: Sequence[Any], console: Console) -> Iterator[Text]:
    """Yield a line for each change. The reason why a change is MAJOR is on a line of its own beneath."""
    for change in changes:
        mark = _MARKS.get(change.kind, UNKNOWN)
        line = Text(f"  {mark.on(console)} ", style=mark.style)
        line.append(_one_line(change.path, console), style="not bold default")
        yield line.append("  " + _values(change, console), style="not bold dim")
        if change.change_class == report_pb2.CHANGE_CLASS_MAJOR:
            why = Text("    MAJOR: ", style="bold red")
            yield why.append(_one_line(change.reason, console), style="not bold default")


def _values(change: Any, console: Console) -> str:
    before = _short(change, "before", console)
    after = _short(change, "after", console)
    if change.kind == report_pb2.CHANGE_KIND_ADDED:
        return after
    if change.kind == report_pb2.CHANGE_KIND_REMOVED:
        return f"was {before}"
    return f"{before} {arrow(console)} {after}"


def _short(change: Any, side: str, console: Console) -> str:
    """Return the value, cut to fit.

    A task is shown by its type, because its fields would take too long a line.
    """
    if not change.HasField(side):
        return "(too large to show)"
    value = from_value(getattr(change, side))
    if isinstance(value, dict) and change.path.startswith("tasks[") and change.path.endswith("]"):
        return str(value.get("type", "a task"))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = _one_line(text, console)
    if len(text) <= MAX_VALUE_CHARS:
        return text
    dots = "..." if is_ascii(console) else "…"
    return text[: MAX_VALUE_CHARS - len(dots)] + dots


def _one_line(text: str, console: Console) -> str:
    text = " ".join(text.split())
    return text.encode("ascii", "backslashreplace").decode() if is_ascii(console) else text
