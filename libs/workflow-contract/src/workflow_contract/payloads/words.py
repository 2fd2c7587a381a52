"""The phrases with which a value is refused. Each phrase follows the value's path: `input.id` + phrase.

A phrase says what is wrong, quotes the value, and says what to do. Long values and keys are cut.
"""

from __future__ import annotations

from typing import Any

from workflow_contract.payloads.numbers import LARGEST

MAX_SHOWN_CHARS = 60
HAS_NUL = "contains a NUL character: remove it"
HAS_SURROGATE = "contains half of a surrogate pair: send valid Unicode"


def beyond_exact(number: object) -> str:
    """Return the phrase for an integer that a double cannot hold exactly.

    `number` is the integer's digits, or the double to which it was rounded.
    """
    return f"is {cut(str(number))}, beyond 2^53, where whole numbers lose digits: {_AS_STRING}"


def too_large(number: str) -> str:
    """Return the phrase for a number that is larger than any double. `number` is its text."""
    return f"is {cut(number)}, too large for a number, the largest of which is {LARGEST}: {_AS_STRING}"


def not_finite(name: str) -> str:
    """Return the phrase for NaN or an infinity, given by name."""
    return f"is {name}, which JSON does not have: send null or a string"


def too_deep(max_depth: int) -> str:
    """Return the phrase for lists and objects that are nested too deeply."""
    return f"is nested over {max_depth} levels: make it flatter"


def twice(key: str) -> str:
    """Return the phrase for an object that has a key twice in its JSON text."""
    return f"has the key {_key(key)} twice: keep one of them"


def alike(one: object, other: object) -> str:
    """Return the phrase for an object with two keys that become the same string in JSON."""
    return f"has the keys {_key(one)} and {_key(other)}, which are the same string in JSON: keep one of them"


def no_text_key(key: object) -> str:
    """Return the phrase for an object with a key that is not a string."""
    return f"has the key {_key(key)}, which is not a string: make it a string"


def bad_key(problem: str) -> str:
    """Return the phrase for an object with a key whose characters are refused."""
    return f"has a key that {problem}"


def no_json_type(value: object) -> str:
    """Return the phrase for a Python value of a type that JSON does not have."""
    kind = type(value).__name__
    return f"is of type {kind}, which JSON does not have: send None, bool, int, float, str, list or dict"


def cut(text: str) -> str:
    """Return the text, cut to at most 60 characters."""
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def problem_of_text(text: str) -> str:
    """Return the phrase for the characters of a string that are refused, or "" if all are accepted."""
    if "\x00" in text:
        return HAS_NUL
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return HAS_SURROGATE
    return ""


_AS_STRING = "send it as a string"


def _key(key: Any) -> str:
    return cut(ascii(key) if isinstance(key, str) and problem_of_text(key) else repr(key))
