"""The patterns of the contracts in words, with a guess of the intended value."""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORDS_WITH_DOTS = "use lower-case words joined by dots, such as `orders.charge`"
_WORDS: Mapping[str, str] = {
    "^[a-z][a-z0-9-]{2,62}$": "use 3 to 63 lower-case letters, digits and `-`, a letter first",
    "^[a-z][a-z0-9-]{0,62}$": "use 1 to 63 lower-case letters, digits and `-`, a letter first",
    "^[a-z][a-z0-9_]{0,62}$": "use 1 to 63 lower-case letters, digits and `_`, a letter first",
    "^[a-z][a-z0-9_-]*([.][a-z][a-z0-9_-]*)*$": _WORDS_WITH_DOTS,
    "^[0-9A-F]{1,8}/[0-9A-F]{1,8}$": "send the unchanged token of an answer",
}
_SEPARATORS = re.compile(r"[\s_.-]+")
_SEPARATORS_BUT_DOTS = re.compile(r"[\s_-]+")
_MAX_SHOWN_CHARS = 80


def in_words(pattern: str, value: str) -> str:
    """Return why a pattern refuses the value, and what to write instead.

    If the pattern is unknown, show it.
    """
    if len(value) > _MAX_SHOWN_CHARS:
        shown = f"`{value[:_MAX_SHOWN_CHARS]}…`"
    else:
        shown = f"`{value}`" if value else "an empty text"
    rule = _WORDS.get(pattern, f"it must match `{pattern}`")
    meant = _meant(pattern, value)
    guess = f", did you mean `{meant}`?" if meant else "."
    return f"{shown} is not allowed here{guess} {rule[0].upper()}{rule[1:]}"


def _meant(pattern: str, value: str) -> str:
    """Return the value in lower case with another separator if the pattern allows that, and "" otherwise.

    If dots have a meaning in the pattern, they stay.
    """
    separators = _SEPARATORS_BUT_DOTS if "[.]" in pattern else _SEPARATORS
    for separator in ("-", "_"):
        candidate = separators.sub(separator, value.strip().lower())
        if candidate != value and len(value) <= _MAX_SHOWN_CHARS and re.fullmatch(pattern, candidate):
            return candidate
    return ""
