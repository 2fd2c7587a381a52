"""Escape characters that are not shown but change how a terminal or a reader sees the text.

A failure, a reason or a label may come from anybody. Control characters (C0, C1, DEL) can move the cursor,
set the title of the window or write to the clipboard. Direction marks can show a text in another order than
its own. Invisible characters can make two ids look the same. All of them are shown as escapes, such as
`\\x1b`.
"""

from __future__ import annotations

import json
import re
from typing import Any

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but tab and line feed
    "\xad\u061c\u200b\u200e\u200f"  # soft hyphen, zero-width space, direction marks
    "\u2028-\u202e\u2060-\u206f"  # line separators, direction overrides and isolates, invisible operators
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"  # byte order mark, annotations, tags
)
_OBEYED_OR_BREAK = re.compile(f"[\t\n]|{OBEYED.pattern}")


def visible(text: str) -> str:
    """Return the text with escapes for control, direction and invisible characters.

    Keep line breaks and tabs.
    """
    return OBEYED.sub(_escape, text)


def one_line(text: str) -> str:
    """Return the text with escapes for line breaks and tabs too, so that it cannot look like two lines."""
    return _OBEYED_OR_BREAK.sub(_escape, text)


def is_one_line(text: str) -> bool:
    """Return whether `one_line` would change nothing."""
    return _OBEYED_OR_BREAK.search(text) is None


def json_text(data: Any, *, ascii_only: bool = False, **options: Any) -> str:
    """Return the data as JSON.

    Control and invisible characters become JSON escapes: the value is the same.
    """
    return OBEYED.sub(_json_escape, json.dumps(data, ensure_ascii=ascii_only, **options))


def yaml_escape(character: re.Match[str]) -> str:
    """Return the escape of a character in double-quoted YAML."""
    code = ord(character[0])
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _escape(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def _json_escape(character: re.Match[str]) -> str:
    return json.dumps(character[0])[1:-1]
