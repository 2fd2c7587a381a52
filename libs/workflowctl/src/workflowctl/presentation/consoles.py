"""The consoles: results go to standard output, notes and errors to standard error.

All text for people goes through these consoles. They show escapes for characters that could control the
terminal: see `safe_text`. A text in square brackets is a text, not markup.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from workflowctl.safe_text import is_one_line, one_line, visible

# Output to a pipe or a log is not fitted to the width of a screen.
PLAIN_WIDTH = 200


class SafeConsole(Console):
    """A console that shows escapes for control characters in texts. Its own styles still work."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments to print."""
        for segment in super().render(renderable, options):
            if segment.control is None and segment.text:
                yield Segment(visible(segment.text), segment.style)
            else:
                yield segment


def print_line(console: Console, text: Text, end: str = "\n") -> None:
    """Print a text as one line, whatever its length. Line breaks in it become escapes."""
    console.print(single(text), soft_wrap=True, end=end)


def single(text: Text | str) -> Text:
    """Return the text with its styles, and with escapes for line breaks and control characters."""
    if isinstance(text, str):
        return Text(one_line(text))
    if is_one_line(text.plain):
        return text
    result, begin = Text(style=text.style, end=text.end), 0
    borders = sorted({border for span in text.spans for border in (span.start, span.end)} | {len(text)})
    for border in borders:
        piece = text[begin:border]
        shown = Text(one_line(piece.plain))
        for span in piece.spans:
            shown.stylize(span.style)
        result.append_text(shown)
        begin = border
    return result


def stdout() -> SafeConsole:
    """Return the console for results."""
    _escape_what_cannot_be_said(sys.stdout)
    return _fitted(SafeConsole())


def stderr() -> SafeConsole:
    """Return the console for errors and hints."""
    _escape_what_cannot_be_said(sys.stderr)
    return _fitted(SafeConsole(stderr=True))


def _escape_what_cannot_be_said(stream: object) -> None:
    """Let the stream print escapes for characters that its encoding lacks, instead of raising an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _fitted(console: SafeConsole) -> SafeConsole:
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH
    return console
