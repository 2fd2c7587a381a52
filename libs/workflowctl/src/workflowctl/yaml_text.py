"""Read YAML by the core schema of YAML 1.2: `no` and `on` are text, and so are `12:30` and `2024-01-01`.

Three passes read a text, and each handles only input that the pass before has limited. The first counts the
events. The second measures the nodes with their aliases written out. The third makes the values. libyaml
scans the text if it is installed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from workflow_contract.limits import MAX_MESSAGE_DEPTH
from workflow_contract.payloads import is_exact, words
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from workflowctl.bounds import (
    LONG_KEYS,
    MAX_ALIASES,
    MAX_PATH_CHARS,
    MAX_PLACE_CHARS,
    MAX_VALUES,
    TOO_DEEP,
    TOO_MANY,
    Places,
    UnreadableError,
)

if TYPE_CHECKING or not yaml.__with_libyaml__:
    from yaml.composer import Composer
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Parser(Reader, Scanner, Parser, Composer):
        """A parser of events and nodes, in pure Python."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)

else:
    from yaml.cyaml import CParser as _Parser

_MEANINGS = (
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("did not find expected '-' indicator", "the indentation does not fit the lines above"),
    ("did not find expected key", "the indentation does not fit the lines above"),
    (
        "mapping values are not allowed",
        "a `:` is not allowed here: indent as above, or put the text in quotes",
    ),
    ("could not find expected ':'", "a `:` after the key is missing on the line above, or a quote"),
)
MAX_SAID_CHARS = 300
MAX_INTEGER_CHARS = 309
"""An integer with more digits is larger than any double."""
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def read(text: str) -> tuple[Any, Places]:
    """Return the value, and the place of each path. Raise UnreadableError if the text cannot be read."""
    places: Places = {}
    try:
        _count(_Loader(text))
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, places
        _measure(node, places)
        return loader.construct_document(node), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise UnreadableError(_in_plain_words(error, text), line, column) from None
    except yaml.reader.ReaderError:
        raise UnreadableError("there is a control character: remove it", 1, 1) from None
    except RecursionError:
        raise UnreadableError(TOO_DEEP, 1, 1) from None


def _in_plain_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the parser's message together with its most likely meaning."""
    problem = error.problem or "this is not valid YAML"
    if "cannot start any token" in problem and error.problem_mark is not None:
        line = text.split("\n")[error.problem_mark.line]
        character = line[error.problem_mark.column : error.problem_mark.column + 1]
        if character == "\t":
            return "there is a tab: indent with spaces"
        return f"a text cannot begin with {character!r}: put it in quotes"
    for said, meant in _MEANINGS:
        if said in problem:
            return meant
    said = f"{problem} {error.context}" if error.context else problem
    return said if len(said) <= MAX_SAID_CHARS else said[: MAX_SAID_CHARS - 1] + "…"


def _count(loader: _Loader) -> None:
    """Raise if a text has too many nodes, levels or aliases, before any of them is made."""
    nodes = aliases = depth = 0
    while loader.check_event():
        event = loader.get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            _refuse(aliases > MAX_ALIASES, f"there are over {MAX_ALIASES} aliases: write them out", event)
            _refuse(nodes > 2 * MAX_VALUES, TOO_MANY, event)  # keys are nodes too
            _refuse(depth > MAX_MESSAGE_DEPTH + 1, TOO_DEEP, event)


def _refuse(broken: bool, problem: str, event: yaml.Event) -> None:
    if broken:
        mark: Any = event.start_mark
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Visit(NamedTuple):
    """A node during the walk. The walk visits a node that has aliases several times."""

    node: yaml.Node
    mark: yaml.Mark
    path: str | None = ""
    """The path, or None if it is too long to keep."""
    key_chars: int = 0
    within: tuple[yaml.Node, ...] = ()

    def inner(self) -> Iterator[_Visit]:
        """The number of values in it."""
        within = (*self.within, self.node)
        if isinstance(self.node, yaml.SequenceNode):
            for number, item in enumerate(self.node.value):
                yield _Visit(item, item.start_mark, self._path(f"[{number}]"), self.key_chars, within)
        elif isinstance(self.node, yaml.MappingNode):
            for key, value in self.node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                path = self._path(f".{name}" if self.path else name)
                yield _Visit(value, key.start_mark, path, self.key_chars + len(name), within)

    def _path(self, more: str) -> str | None:
        fits = self.path is not None and len(self.path) + len(more) <= MAX_PLACE_CHARS
        return f"{self.path}{more}" if fits else None


def _measure(root: yaml.Node, places: Places) -> None:
    """Record the places.

    Raise if a node is too large once its aliases are written out, or contains itself.
    """
    left = MAX_VALUES
    stack = [_Visit(root, root.start_mark)]
    while stack:
        visit = stack.pop()
        place = (visit.mark.line + 1, visit.mark.column + 1)
        left -= 1
        if left < 0:
            raise UnreadableError(f"{TOO_MANY} (each use of an alias counts in full)", *place)
        if visit.key_chars > MAX_PATH_CHARS:
            raise UnreadableError(LONG_KEYS, *place)
        if visit.path is not None:
            places.setdefault(visit.path, place)
        if isinstance(visit.node, yaml.CollectionNode):
            if len(visit.within) > MAX_MESSAGE_DEPTH or any(visit.node is outer for outer in visit.within):
                raise UnreadableError(TOO_DEEP, *place)
            stack += visit.inner()


class _Loader(_Parser, SafeConstructor, BaseResolver):
    """A loader of safe YAML: the scalars of YAML 1.2, text as keys, each key once."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own form

    def __init__(self, text: str) -> None:
        _Parser.__init__(self, text)
        SafeConstructor.__init__(self)
        BaseResolver.__init__(self)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if key.tag != _STR or not isinstance(key, yaml.ScalarNode):
                shown = key.value if isinstance(key, yaml.ScalarNode) else key.id
                raise _refused(words.no_text_key(shown), key)
            if key.value in seen:
                raise _refused(words.twice(key.value), key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        if len(text) > MAX_INTEGER_CHARS:
            raise _refused(words.too_large(text), node)
        number = int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        if not is_exact(number):
            raise _refused(words.beyond_exact(text), node)
        return number

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        text = node.value.lower()
        if text.endswith((".inf", ".nan")):
            return float(text.replace(".", ""))  # the check of payloads refuses it by its path
        number = float(text)
        if math.isinf(number):
            raise _refused(words.too_large(node.value), node)
        return number


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"this {problem}", problem_mark=node.start_mark)


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
_Loader.yaml_constructors = {
    **SafeConstructor.yaml_constructors,
    "tag:yaml.org,2002:int": _Loader.construct_yaml_int,
    "tag:yaml.org,2002:float": _Loader.construct_yaml_float,
}
