"""What is said of a value that is refused. Each phrase follows the value's path: `input.id` + phrase.

A phrase says what is wrong, with the value, and what to do. Long values and keys are cut.
"""

from __future__ import annotations

from typing import Any

from workflow_contract.payloads.numbers import LARGEST

MAX_SHOWN_CHARS = 60
HAS_NUL = "contains a NUL character: remove it"
HAS_SURROGATE = "contains half of a surrogate pair: send valid Unicode"


def beyond_exact(number: object) -> str:
    """Of an integer that a double cannot hold exactly, as its digits or as the double that is left of it."""
    return f"is {cut(str(number))}, beyond 2^53, where whole numbers lose digits: {_AS_STRING}"


def too_large(number: str) -> str:
    """Of a number, as its text, that is larger than any double."""
    return f"is {cut(number)}, too large for a number, the largest of which is {LARGEST}: {_AS_STRING}"


def not_finite(name: str) -> str:
    """Of NaN and infinities, by name."""
    return f"is {name}, which JSON does not have: send null or a string"


def too_deep(max_depth: int) -> str:
    """Of lists and objects within one another."""
    return f"is nested over {max_depth} levels: make it flatter"


def twice(key: str) -> str:
    """Of an object whose text has a key twice."""
    return f"has the key {_key(key)} twice: keep one of them"


def alike(one: object, other: object) -> str:
    """Of an object with two keys that are the same text in JSON."""
    return f"has the keys {_key(one)} and {_key(other)}, which are the same text in JSON: keep one of them"


def no_text_key(key: object) -> str:
    """Of an object with a key that is no text."""
    return f"has the key {_key(key)}, which is no text: make it a string"


def bad_key(problem: str) -> str:
    """Of an object with a key whose text has a problem."""
    return f"has a key that {problem}"


def no_json_type(value: object) -> str:
    """Of a Python value without a form in JSON."""
    kind = type(value).__name__
    return f"is of type {kind}, which JSON does not have: send None, bool, int, float, str, list or dict"


def cut(text: str) -> str:
    """The text with at most 60 characters."""
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def problem_of_text(text: str) -> str:
    """Return what is wrong with the characters of a text; "" if nothing is."""
    if "\x00" in text:
        return HAS_NUL
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return HAS_SURROGATE
    return ""


_AS_STRING = "send it as a string"


def _key(key: Any) -> str:
    return cut(ascii(key) if isinstance(key, str) and problem_of_text(key) else repr(key))
