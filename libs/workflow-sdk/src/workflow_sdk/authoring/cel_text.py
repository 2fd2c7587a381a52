"""CEL as text: writes names and values, and finds the tasks that a text uses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from workflow_sdk.authoring.errors import WorkflowDefinitionError

ROOTS = ("input", "tasks", "execution", "item", "index")
"""The names that an expression can begin with."""

_RESERVED = (
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|package|namespace|null|return|true"
    "|var|void|while"
)
_IDENTIFIER = re.compile(rf"(?!(?:{_RESERVED})\Z)[A-Za-z_][A-Za-z0-9_]*")
_TOKENS = re.compile(
    r"""
    (?P<comment> //[^\n]* )
  | (?<![\w.]) tasks \s* \. \s* \?? \s* (?P<id>[A-Za-z_]\w*)
  | (?<![\w.]) tasks \s* \[ \s* \?? \s* (?P<quoted> "[^"\\]*" | '[^'\\]*' ) \s* \]
  | (?<!\w) [bB]?[rR][bB]? (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"]*" | '[^']*' )
  | \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def is_identifier(name: str) -> bool:
    """Return whether CEL accepts the name: letters, digits and underscores, and not a reserved word."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_path(text: str) -> bool:
    """Return whether the text consists of names joined by dots."""
    return all(map(is_identifier, text.split(".")))


def member(of: str, name: str) -> str:
    """Return `of.name`, or `of["name"]` if CEL does not accept the name."""
    return f"{of}.{name}" if is_identifier(name) else f"{of}[{quote(name)}]"


def quote(text: str) -> str:
    """Return a text as a literal. CEL has all escapes that JSON has."""
    return json.dumps(text, ensure_ascii=False)


def number(value: int | float) -> str:
    """Return a number as a literal: `2` is CEL's int, `2.0` a double. Raises WorkflowDefinitionError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise WorkflowDefinitionError(f"{value} is no number for an expression: JSON does not have it")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WorkflowDefinitionError(f"{value} is too large for an expression: whole numbers have 64 bits")
    return repr(value)


def used_tasks(text: str) -> Iterator[str]:
    """Yield the ids after `tasks` in an expression, in order. Skip texts and comments in it.

    This reads tokens and does not know CEL's grammar: a loop variable named `tasks` counts as the tasks.
    """
    for token in _TOKENS.finditer(text):
        if token["id"]:
            yield token["id"]
        elif token["quoted"]:
            yield token["quoted"][1:-1]


def ends_in_comment(text: str) -> bool:
    """Return whether the text ends in a comment, which would swallow anything after it."""
    last = None
    for token in _TOKENS.finditer(text):
        last = token
    return last is not None and last["comment"] is not None and last.end() == len(text)
