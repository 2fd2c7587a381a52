"""YAML and JSON texts of users, read strictly: data only, every key once, bounded, places remembered.

YAML is read by the core schema of YAML 1.2: `no` and `on` are words, `12:30` and `2024-01-01` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from workflowctl.errors import CommandError, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_VALUES = 100_000
MAX_ALIASES = 100
_MEANINGS = (
    ("expected <block end>", "the indentation does not fit the lines above"),
    (
        "mapping values are not allowed",
        "a `:` is not allowed here: indent as above, or put the text in quotes",
    ),
    ("could not find expected ':'", "a `:` after the key is missing on the line above, or a quote"),
    (r"'\t'", "there is a tab: indent with spaces"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A text as data. `places` has line and column of each path, such as `tasks[2].when`, from 1."""

    name: str
    value: Any
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """`file:line:column` of a path, or of the nearest one around it; the file alone if none is known."""
        line, column = self.position(path)
        return f"{self.name}:{line}:{column}" if line else self.name

    def position(self, path: str) -> tuple[int, int]:
        """Line and column of a path, or of the nearest one around it; zeros if none is known."""
        while path not in self.places and path:
            path = path[: max(0, path.rfind("."), path.rfind("["))]
        return self.places.get(path, (0, 0))


def read(name: str, data: bytes) -> Source:
    """The text of a file, by its name: JSON where that ends so, else YAML. Raises CommandError."""
    text = _decode(name, data)
    return _read_json(name, text) if name.endswith(".json") else _read_yaml(name, text)


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise CommandError(f"{name} has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8", "replace"))
        raise _broken(name, line, column, "this is not UTF-8: save the file in that encoding") from None
    if "\x00" in text:
        raise _broken(name, *_position(text[: text.index("\x00")]), "there is a NUL character: remove it")
    return text


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _broken(name: str, line: int, column: int, text: str) -> CommandError:
    return CommandError(f"{name} cannot be read", problems=[Problem(f"{name}:{line}:{column}", text)])


def _read_json(name: str, text: str) -> Source:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CommandError(f"{name} has the key {twice!r} twice in one object: keep one of them")
        return members

    try:
        return Source(name, json.loads(text, object_pairs_hook=once))
    except json.JSONDecodeError as error:
        raise _broken(name, error.lineno, error.colno, error.msg) from None
    except ValueError as error:  # a number of thousands of digits
        raise CommandError(f"{name} cannot be read: {error}") from None
    except RecursionError:
        raise _too_deep(name) from None


def _read_yaml(name: str, text: str) -> Source:
    places: dict[str, tuple[int, int]] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Source(name, None)
        _measure(name, node, places)
        return Source(name, loader.construct_document(node), places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _broken(name, line, column, _in_plain_words(error)) from None
    except yaml.reader.ReaderError as error:
        line, column = _position(text[: error.position])
        raise _broken(name, line, column, "there is a control character: remove it") from None
    except RecursionError:
        raise _too_deep(name) from None


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    """What the parser says, with what it mostly means."""
    problem = error.problem or "this is no YAML"
    for said, meant in _MEANINGS:
        if said in problem:
            return meant
    return f"{problem} {error.context}" if error.context else problem


def _too_deep(name: str) -> CommandError:
    return CommandError(f"{name} is nested over {MAX_DEPTH} levels: make it flatter")


def _measure(name: str, root: yaml.Node, places: dict[str, tuple[int, int]]) -> None:
    """Note the places; refuse what is too large once its aliases are written out, and what holds itself."""
    left = MAX_VALUES
    stack: list[tuple[yaml.Node, yaml.Mark, str, tuple[yaml.Node, ...]]] = [(root, root.start_mark, "", ())]
    while stack:
        node, mark, path, within = stack.pop()
        left -= 1
        if left < 0:
            raise CommandError(f"{name} has over {MAX_VALUES:,} values once its aliases are written out")
        if len(within) > MAX_DEPTH or any(node is outer for outer in within):
            raise _too_deep(name)
        places.setdefault(path, (mark.line + 1, mark.column + 1))
        within = (*within, node)
        if isinstance(node, yaml.SequenceNode):
            stack += [(item, item.start_mark, f"{path}[{n}]", within) for n, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            stack += [(value, key.start_mark, _member(path, key), within) for key, value in node.value]


def _member(path: str, key: yaml.Node) -> str:
    return f"{path}.{key.value}" if path else str(key.value)


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2, text as keys, each key once, and few aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own form

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(problem=f"there are over {MAX_ALIASES} aliases", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                problem = f"the key {key.value!r} is no text: put it in quotes"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} is here twice: keep one of them"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        try:
            return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        except ValueError:
            problem = "the number has too many digits: put it in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _resolve(tag: str, pattern: str, first: str) -> None:
    regexp = re.compile(rf"^(?:{pattern})$", re.ASCII)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", regexp, list(first))


_resolve("null", r"~|null|Null|NULL|", "~nN\0")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_resolve("bool", r"true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolve(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+.0123456789",
)
_resolve("merge", "<<", "<")
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
