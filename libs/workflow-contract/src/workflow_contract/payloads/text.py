"""Parse JSON text strictly: refuse every value that the standard library would change or drop."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from workflow_contract.limits import MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import words
from workflow_contract.payloads.check import (
    LongNumber,
    Rules,
    TwiceObject,
    ValueProblem,
    find_problem,
    is_deeper,
    is_plain,
)

_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class ValueProblemError(ValueError):
    """A value that is refused. The message is a sentence that begins with the value's path."""

    def __init__(self, problem: ValueProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _SuspectError(Exception):
    """The fast decoder has found a value that the slow check must examine."""


def parse(text: str, root: str, max_depth: int = MAX_PAYLOAD_DEPTH) -> Any:
    """Return the value of a JSON text. `root` is the name of the value in errors, such as `output`.

    Raise ValueProblemError for a value that is refused, and json.JSONDecodeError for a text that is not JSON.
    Takes 5 to 100 ms for 1 MiB, as long as the standard library. May be repeated.
    """
    try:
        value = _FAST.decode(text)
        if is_plain(value) and _is_storable(value, text) and not _is_too_deep(value, text, max_depth):
            return value
    except (ValueError, RecursionError, _SuspectError):
        pass  # the slow check below names the problem; ValueError may be an integer of over 4,300 digits
    try:
        value = parse_leniently(text)
    except RecursionError:
        raise ValueProblemError(ValueProblem(root, words.too_deep(max_depth))) from None
    if (problem := find_problem(value, root, Rules(max_depth))) is not None:
        raise ValueProblemError(problem)
    return value


def parse_leniently(text: str) -> Any:
    """Return the value of a JSON text, with marks in it for `find_problem`.

    The marks are LongNumber, TwiceObject, NaN and infinities. Raise json.JSONDecodeError if the text is not
    JSON, and RecursionError if it has thousands of levels.
    """
    return _LENIENT.decode(text)


def _is_storable(value: Any, text: str) -> bool:
    """Return False if a string in the value has a NUL or half of a surrogate pair, even an escaped one."""
    escapes = "\\u" in text
    if escapes and _ESCAPED_NUL.search(text):
        return False
    try:
        (json.dumps(value, ensure_ascii=False) if escapes else text).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_too_deep(value: Any, text: str, max_depth: int) -> bool:
    return text.count("[") + text.count("{") > max_depth and is_deeper(value, max_depth)


def _refuse(_: str) -> NoReturn:
    raise _SuspectError


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _SuspectError
    return members


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    marked = TwiceObject(members)
    marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _integer(text: str) -> int | LongNumber:
    return int(text) if len(text) <= 309 else LongNumber(text)


def _decimal(text: str) -> float | LongNumber:
    number = float(text)
    return LongNumber(text) if math.isinf(number) else number


_make: Callable[..., json.JSONDecoder] = json.JSONDecoder
_FAST = _make(object_pairs_hook=_each_once, parse_constant=_refuse)
_LENIENT = _make(object_pairs_hook=_marked, parse_int=_integer, parse_float=_decimal)
