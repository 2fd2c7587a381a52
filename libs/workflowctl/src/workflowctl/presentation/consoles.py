"""Where output goes: results to standard output, notes and errors to standard error."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console

# In a pipe or a log nothing is fitted to a screen.
PLAIN_WIDTH = 200


def stdout() -> Console:
    """For results."""
    _escape_what_cannot_be_said(sys.stdout)
    return _fitted(Console(highlight=False))


def stderr() -> Console:
    """For errors and hints."""
    _escape_what_cannot_be_said(sys.stderr)
    return _fitted(Console(stderr=True, highlight=False))


def _escape_what_cannot_be_said(stream: object) -> None:
    """Texts of users may have characters that the stream's encoding lacks: escapes are better than an end."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _fitted(console: Console) -> Console:
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH
    return console
