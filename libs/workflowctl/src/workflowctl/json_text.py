"""Read JSON texts, check them as `workflow_contract.payloads` does, and find the place of each value.

The limit on the size of a text also limits its values. Places are kept for the first MAX_VALUES of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from workflow_contract.limits import MAX_MESSAGE_DEPTH
from workflow_contract.payloads import Rules, ValueProblem, find_problem, parse_leniently

from workflowctl.bounds import (
    LONG_KEYS,
    MAX_PATH_CHARS,
    MAX_PLACE_CHARS,
    MAX_VALUES,
    TOO_DEEP,
    Places,
    UnreadableError,
    member_path,
)

_TOKEN = re.compile(r'\n|"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def read(text: str) -> tuple[Any, Places]:
    """Return the value, and the place of each path.

    Raise UnreadableError, also for what no payload may contain.
    """
    try:
        value = parse_leniently(text)
        places = _Walk().places_of(text)
    except json.JSONDecodeError as error:
        raise UnreadableError(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise UnreadableError(TOO_DEEP, 1, 1) from None
    if (problem := find_problem(value, "", Rules(MAX_MESSAGE_DEPTH))) is not None:
        raise UnreadableError(f"this {problem.text}", *_place_of(problem, places))
    return value, places


def _place_of(problem: ValueProblem, places: Places) -> tuple[int, int]:
    """Return the place of the value, or of its key. If a key occurs twice, return the last place."""
    path = problem.path if problem.key is None else member_path(problem.path, problem.key)
    while path not in places and path:
        path = path[: max(0, path.rfind("."), path.rfind("["))]
    return places.get(path, (1, 1))


@dataclass(slots=True)
class _Container:
    """An array or object that the walk is inside. `path` is None if it is too long to keep."""

    path: str | None
    key_chars: int
    is_object: bool
    index: int = 0
    key: str = ""
    expects_key: bool = True
    key_place: tuple[int, int] = (1, 1)

    def inner_path(self) -> str | None:
        if self.path is None:
            return None
        inner = member_path(self.path, self.key) if self.is_object else f"{self.path}[{self.index}]"
        return inner if len(inner) <= MAX_PLACE_CHARS else None


class _Walk:
    """A walk over the tokens of a text that is valid JSON."""

    def __init__(self) -> None:
        self._places: Places = {}
        self._stack: list[_Container] = []
        self._values = 0

    def places_of(self, text: str) -> Places:
        line, line_start = 1, 0
        for match in _TOKEN.finditer(text):
            token = match[0]
            if self._values == MAX_VALUES:
                break
            if token == "\n":
                line, line_start = line + 1, match.end()
            else:
                self._take(token, (line, match.start() - line_start + 1))
        return self._places

    def _take(self, token: str, place: tuple[int, int]) -> None:
        top = self._stack[-1] if self._stack else None
        if token in "]}":
            self._stack.pop()
        elif token == ",":
            assert top is not None
            top.index, top.expects_key = top.index + 1, True
        elif token == ":":
            assert top is not None
            top.expects_key = False
        elif top is not None and top.is_object and top.expects_key:
            self._take_key(top, token, place)
        else:
            self._take_value(top, token, place)

    def _take_key(self, top: _Container, token: str, place: tuple[int, int]) -> None:
        if top.key_chars + len(token) > MAX_PATH_CHARS:
            raise UnreadableError(LONG_KEYS, *place)
        top.key, top.key_place = json.loads(token), place

    def _take_value(self, top: _Container | None, token: str, place: tuple[int, int]) -> None:
        self._values += 1
        path = "" if top is None else top.inner_path()
        if path is not None:
            self._places[path] = top.key_place if top is not None and top.is_object else place
        if token in "[{":
            if len(self._stack) >= MAX_MESSAGE_DEPTH:
                raise UnreadableError(TOO_DEEP, *place)
            key_chars = 0 if top is None else top.key_chars + len(top.key)
            self._stack.append(_Container(path, key_chars, token == "{"))
