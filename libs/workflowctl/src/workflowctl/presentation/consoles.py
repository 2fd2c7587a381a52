"""Where output goes: results to standard output, notes and errors to standard error."""

from __future__ import annotations

import os

from rich.console import Console

# In a pipe or a log nothing is fitted to a screen.
PLAIN_WIDTH = 200


def stdout() -> Console:
    """For results."""
    return _fitted(Console(highlight=False))


def stderr() -> Console:
    """For errors and hints."""
    return _fitted(Console(stderr=True, highlight=False))


def _fitted(console: Console) -> Console:
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH
    return console
