"""Parts that several pages use: names with values, payloads, and reasons for failures."""

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
"""Names and values. A value may have several lines."""


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Return a table of names and values. Names without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in rows:
        if value:
            table.add_row(name, Text(value) if name in _PROSE else single(value))
    return table


def payload_parts(title: str, payload: Any) -> list[RenderableType]:
    """Return a title and below it a payload as JSON, or nothing if there is no payload."""
    if payload is None:
        return []
    return [Text(f"\n  {title}", style="dim"), Padding(payload_text(payload), (0, 4), expand=False)]


def traceback_parts(failure: Failure | None) -> list[RenderableType]:
    """Return a title and below it the handler's traceback, or nothing if the traceback is unknown."""
    if failure is None or not failure.details.strip():
        return []
    where = Text(failure.details.strip())
    return [Text("\n  traceback", style="dim"), Padding(where, (0, 4), expand=False)]


def not_retried(failure: Failure | None) -> str:
    """Return in a few words why no further attempt followed."""
    if failure is None:
        return ""
    if failure.retry_state == "attempts exhausted" and failure.attempt:
        return (
            "the only attempt is used" if failure.attempt == 1 else f"all {failure.attempt} attempts are used"
        )
    return failure.retry_state


def payload_text(payload: Any) -> RenderableType:
    """Return a payload as JSON. A large payload is cut."""
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    if len(text) > MAX_PAYLOAD_CHARS:
        return Text(text[:MAX_PAYLOAD_CHARS] + f"\n… {len(text):,} characters in all: -o json shows them")
    return Syntax(text, "json", background_color="default", word_wrap=True)


def print_end(console: Console, execution: Execution) -> None:
    """Yield the output of an execution that ended, or the traceback of the handler that failed.

    In a pipe, the output is not cut.
    """
    if console.is_terminal:
        parts = [*payload_parts("output", execution.output), *traceback_parts(execution.failure)]
        if parts:
            console.print(Group(*parts))
        return
    if execution.output is not None:
        console.print(Text(json_text(execution.output, indent=2)), soft_wrap=True)
    if execution.failure is not None and execution.failure.details.strip():
        # Each line has an indent, so that none of them can look like a line of workflowctl.
        console.print(Text(indent(execution.failure.details.strip(), "    ")), soft_wrap=True)
