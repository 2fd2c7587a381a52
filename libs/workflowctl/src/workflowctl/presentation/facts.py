"""What the pages have in common: names with values, payloads, and why something failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from workflow_sdk.models import Execution, Failure

from workflowctl.presentation.consoles import single
from workflowctl.safe_text import json_text

MAX_PAYLOAD_CHARS = 4_000
_PROSE = frozenset({"about", "reason", "because"})
"""Facts that may have several lines."""


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values; what has no value is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in rows:
        if value:
            table.add_row(name, Text(value) if name in _PROSE else single(value))
    return table


def payload_parts(title: str, payload: Any) -> list[RenderableType]:
    """A title, and below it a payload as JSON; nothing if there is none."""
    if payload is None:
        return []
    return [Text(f"\n  {title}", style="dim"), Padding(payload_text(payload), (0, 4), expand=False)]


def traceback_parts(failure: Failure | None) -> list[RenderableType]:
    """A title, and below it where the handler failed; nothing if that is not known."""
    if failure is None or not failure.details.strip():
        return []
    where = Text(failure.details.strip())
    return [Text("\n  traceback", style="dim"), Padding(where, (0, 4), expand=False)]


def not_retried(failure: Failure | None) -> str:
    """Why no further attempt followed, in a few words."""
    if failure is None:
        return ""
    if failure.retry_state == "attempts exhausted" and failure.attempt:
        return (
            "the only attempt is used" if failure.attempt == 1 else f"all {failure.attempt} attempts are used"
        )
    return failure.retry_state


def payload_text(payload: Any) -> RenderableType:
    """A payload as JSON; a large one is cut."""
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    if len(text) > MAX_PAYLOAD_CHARS:
        return Text(text[:MAX_PAYLOAD_CHARS] + f"\n… {len(text):,} characters in all: -o json shows them")
    return Syntax(text, "json", background_color="default", word_wrap=True)


def print_end(console: Console, execution: Execution) -> None:
    """The output of an execution that ended, or where its handler failed. In a pipe the output is not cut."""
    if console.is_terminal:
        parts = [*payload_parts("output", execution.output), *traceback_parts(execution.failure)]
        if parts:
            console.print(Group(*parts))
        return
    if execution.output is not None:
        console.print(Text(json_text(execution.output, indent=2)), soft_wrap=True)
    if execution.failure is not None and execution.failure.details.strip():
        # Each line has an indent: none of them can look like a line of ours.
        console.print(Text(indent(execution.failure.details.strip(), "    ")), soft_wrap=True)
