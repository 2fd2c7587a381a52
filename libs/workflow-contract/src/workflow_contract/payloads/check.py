"""Check a value: find its first part that is refused, and the path of that part."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from workflow_contract.limits import MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import words
from workflow_contract.payloads.numbers import MAX_WHOLE, is_exact, may_be_rounded, shown

MAX_PATH_CHARS = 200


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """The reason why a value is refused. `path` leads to the value, such as `input.items[2].price`.

    `path` has at most 200 characters. `text` is a phrase that follows the path in a sentence.
    """

    path: str
    text: str
    key: str | None = None
    """The key, if the object at `path` has it twice."""

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


class LongNumber(str):
    """The text of a JSON number that is too large for a double, or too long to parse."""


class TwiceObject(dict[str, Any]):
    """An object that has `key` twice in its JSON text."""

    key = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that differ between the places at which values enter the system."""

    max_depth: int = MAX_PAYLOAD_DEPTH
    """Levels of lists and objects."""
    through_struct: bool = False
    """True if the value becomes, or was, a Struct, in which a double may be a rounded integer."""
    text_keys: bool = True
    """True if keys must be strings. If False, `json.dumps` converts numbers, bools and None to strings."""


def find_problem(value: Any, root: str, rules: Rules) -> ValueProblem | None:
    """Return the first part of `value` that is refused, or None. `root` is the name of the value itself.

    Takes about 1 µs for each value within `value`, and memory in proportion to their number. Never raises.
    """
    pending: list[_Visit] = [_Visit(None, root, value, 1)]
    while pending:
        visit = pending.pop()
        each = visit.value
        if isinstance(each, Mapping | list | tuple):
            problem = (
                words.too_deep(rules.max_depth) if visit.depth > rules.max_depth else _of_keys(each, rules)
            )
        else:
            problem = _of_scalar(each, rules)
        if problem:
            return ValueProblem(visit.path(), problem, each.key if isinstance(each, TwiceObject) else None)
        if isinstance(each, Mapping):
            pending += reversed([_Visit(visit, key, item, visit.depth + 1) for key, item in each.items()])
        elif isinstance(each, list | tuple):
            steps = range(len(each) - 1, -1, -1)
            pending += [_Visit(visit, step, each[step], visit.depth + 1, True) for step in steps]
    return None


class _Visit(NamedTuple):
    """A value to check. Its path is built only on request, because it may be as long as the JSON text."""

    parent: _Visit | None
    step: Any
    value: Any
    depth: int
    in_list: bool = False

    def path(self) -> str:
        """Return the path from the root, such as `input.items[2].price`. Cut off the end of a long path."""
        visits: list[_Visit] = [self]
        while (parent := visits[-1].parent) is not None:
            visits.append(parent)
        path = ""
        for visit in reversed(visits):
            step = f"[{visit.step}]" if visit.in_list else f"{'.' if path else ''}{visit.step}"
            path += step[: MAX_PATH_CHARS + 1]
            if len(path) > MAX_PATH_CHARS:
                return f"{path[:MAX_PATH_CHARS]}…"
        return path


def is_plain(value: Any) -> bool:
    """Return False if a part of `value` may be refused, so that `find_problem` must check it.

    Checks numbers, types and the types of keys. Does not check characters or depth: callers check them in
    the text. Takes about 30 ns for each value. `value` must not contain itself.
    """
    pending = [(value,)]
    while pending:
        each: Any = pending.pop()
        for child in each:
            kind = type(child)
            if kind is dict:
                if not all(type(key) is str for key in child):
                    return False
                pending.append(child.values())
            elif kind is list:
                pending.append(child)
            elif kind is int:
                if not -MAX_WHOLE <= child <= MAX_WHOLE:
                    return False
            elif (kind is float and child - child != 0.0) or kind not in _SCALARS:
                return False
    return True


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested more than `levels` deep. Searches breadth first."""
    layer = [value] if isinstance(value, list | tuple | dict) else []
    for _ in range(levels):
        layer = [inner for each in layer for inner in _inner(each) if isinstance(inner, list | tuple | dict)]
    return bool(layer)


def _inner(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


_SCALARS = frozenset({str, bool, int, float, type(None)})


def _of_keys(value: Any, rules: Rules) -> str:
    if not isinstance(value, Mapping):
        return ""
    if isinstance(value, TwiceObject):
        return words.twice(value.key)
    written: dict[str, Any] = {}
    for key in value:
        if isinstance(key, str):
            text = str(key)
            if problem := words.problem_of_text(key):
                return words.bad_key(problem)
        elif rules.text_keys or not (key is None or isinstance(key, bool | int | float)):
            return words.no_text_key(key)
        else:
            text = _written_key(key)
        if text in written:
            return words.alike(written[text], key)
        written[text] = key
    return ""


def _written_key(key: bool | int | float | None) -> str:
    (text,) = json.loads(json.dumps({key: None}))
    return str(text)


def _of_scalar(value: Any, rules: Rules) -> str:
    if isinstance(value, LongNumber):
        return words.too_large(value)
    if isinstance(value, str):
        return words.problem_of_text(value)
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if is_exact(value) else words.beyond_exact(_digits(value))
    if isinstance(value, float):
        return problem_of_double(value) if rules.through_struct or not math.isfinite(value) else ""
    return words.no_json_type(value)


def problem_of_double(number: float) -> str:
    """Return why a double of a Struct is refused, or "". It is refused if it may be a rounded integer."""
    if not math.isfinite(number):
        return words.not_finite(shown(number))
    return words.beyond_exact(shown(number)) if may_be_rounded(number) else ""


def _digits(number: int) -> str:
    """Return the digits of an integer, or its number of bits if Python refuses to write over 4,300 digits."""
    try:
        return str(number)
    except ValueError:
        return f"an integer of {number.bit_length():,} bits"
