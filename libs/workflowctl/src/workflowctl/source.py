"""Read YAML and JSON texts of users strictly: data only, every key once, within limits, with places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workflowctl import json_text, yaml_text
from workflowctl.bounds import MAX_BYTES, UnreadableError
from workflowctl.errors import CommandError, Problem

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Source:
    """A text as data. `places` has the line and column of each path, such as `tasks[2].when`, from 1."""

    name: str
    value: Any
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return `file:line:column` of a path, or of the nearest path around it that is known.

        If no such path is known, return the name of the file alone.
        """
        line, column = self.position(path)
        return f"{self.name}:{line}:{column}" if line else self.name

    def position(self, path: str) -> tuple[int, int]:
        """Return line and column of a path, or of the nearest known path around it, or zeros."""
        while path not in self.places and path:
            path = path[: max(0, path.rfind("."), path.rfind("["))]
        return self.places.get(path, (0, 0))


def read(name: str, data: bytes) -> Source:
    """Read the text of a file: JSON if its name ends with `.json`, else YAML.

    Raise CommandError if that fails.
    """
    reader = json_text.read if name.endswith(".json") else yaml_text.read
    try:
        return Source(name, *reader(_decode(name, data)))
    except UnreadableError as error:
        place = f"{name}:{error.line}:{error.column}"
        raise CommandError(f"{name} cannot be read", problems=[Problem(place, error.text)]) from None


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise CommandError(f"{name} is larger than the {MAX_BYTES:,} bytes that are read: make it smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _position(data[: error.start].decode("utf-8", "replace"))
        raise UnreadableError("this is not UTF-8: save the file in that encoding", *place) from None
    if control := _CONTROL.search(text):
        kind = "NUL" if control[0] == "\x00" else "control"
        raise UnreadableError(f"there is a {kind} character: remove it", *_position(text[: control.start()]))
    return text


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def kind_of(value: Any) -> str:
    """Return the name of the value's type for people, such as `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")
