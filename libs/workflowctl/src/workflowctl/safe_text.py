"""Characters that are not shown but obeyed: by a terminal, or by the eye of the reader.

A failure, a reason or a label may come from anybody. Control characters (C0, C1, DEL) can move the cursor,
set the title of the window or write to the clipboard. Direction marks can show a text in another order than
it has. Invisible characters can make two ids look the same. All are shown as escapes, such as `\\x1b`.
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
    """Return the text with escapes for the characters that are obeyed. Line breaks and tabs stay."""
    return OBEYED.sub(_escape, text)


def one_line(text: str) -> str:
    """Return the same, with escapes for line breaks and tabs too: a text cannot pretend to be two lines."""
    return _OBEYED_OR_BREAK.sub(_escape, text)


def is_one_line(text: str) -> bool:
    """Return whether `one_line` would change nothing."""
    return _OBEYED_OR_BREAK.search(text) is None


def json_text(data: Any, *, ascii_only: bool = False, **options: Any) -> str:
    """Return the data as JSON. Characters that are obeyed have JSON's own escapes: the value is the same."""
    return OBEYED.sub(_json_escape, json.dumps(data, ensure_ascii=ascii_only, **options))


def yaml_escape(character: re.Match[str]) -> str:
    """Return the escape that double-quoted texts of YAML have for a character."""
    code = ord(character[0])
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _escape(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def _json_escape(character: re.Match[str]) -> str:
    return json.dumps(character[0])[1:-1]
