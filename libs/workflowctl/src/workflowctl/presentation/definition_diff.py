"""What an apply changed: the paths that differ between two definitions, tasks by their id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from rich.console import Console
from rich.text import Text

from workflowctl.presentation.marks import ADDED, CHANGED, REMOVED

MAX_VALUE_CHARS = 60
MAX_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Change:
    """One path with its value before and after; None where there was or is none."""

    path: str
    before: Any
    after: Any


def changes(before: Any, after: Any) -> list[Change]:
    """The differences of two WorkflowDefinitions, by path."""
    return sorted(_differences("", _as_data(before), _as_data(after)), key=lambda change: change.path)


def _as_data(definition: Any) -> Any:
    data = json_format.MessageToDict(definition, preserving_proto_field_name=True)
    if "tasks" in data:
        data["tasks"] = {task.get("id", str(index)): task for index, task in enumerate(data["tasks"])}
    return data


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield Change(path, before, after)
        return
    for key in {**before, **after}:
        inner = f"tasks[{key}]" if path == "tasks" else f"{path}.{key}" if path else key
        yield from _differences(inner, before.get(key), after.get(key))


def change_lines(found: list[Change], console: Console) -> Iterator[Text]:
    """A line for each change, the first MAX_SHOWN of them."""
    for change in found[:MAX_SHOWN]:
        mark = ADDED if change.before is None else REMOVED if change.after is None else CHANGED
        line = Text(f"  {mark.on(console)} ", style=mark.style)
        line.append(change.path)
        whole_task = change.path.startswith("tasks[") and change.path.endswith("]")
        if not whole_task:
            line.append("  " + _values(change, console), style="dim")
        yield line
    if len(found) > MAX_SHOWN:
        yield Text(f"  and {len(found) - MAX_SHOWN} more", style="dim")


def _values(change: Change, console: Console) -> str:
    if change.before is None:
        return _short(change.after)
    if change.after is None:
        return f"was {_short(change.before)}"
    arrow = "->" if console.options.ascii_only else "→"
    return f"{_short(change.before)} {arrow} {_short(change.after)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
