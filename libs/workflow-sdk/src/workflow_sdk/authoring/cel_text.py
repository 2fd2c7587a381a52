"""CEL as text: how names and values are written in it, and which tasks a text uses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from workflow_sdk.authoring.errors import WorkflowDefinitionError

ROOTS = ("input", "tasks", "execution", "item", "index")
"""What an expression can begin with."""

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
    """Whether CEL takes it as a name: letters, digits and underscores, and no word of its own."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_path(text: str) -> bool:
    """Whether the text is names joined by dots, and nothing else."""
    return all(map(is_identifier, text.split(".")))


def member(of: str, name: str) -> str:
    """`of.name`, or `of["name"]` where CEL has no such name."""
    return f"{of}.{name}" if is_identifier(name) else f"{of}[{quote(name)}]"


def quote(text: str) -> str:
    """A text as a literal. CEL has JSON's escapes, and more."""
    return json.dumps(text, ensure_ascii=False)


def number(value: int | float) -> str:
    """A number as a literal; `2` is a whole number to CEL, `2.0` is none. Raises WorkflowDefinitionError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise WorkflowDefinitionError(f"{value} is no number for an expression: JSON does not have it")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WorkflowDefinitionError(f"{value} is too large for an expression: whole numbers have 64 bits")
    return repr(value)


def used_tasks(text: str) -> Iterator[str]:
    """The ids after `tasks` in an expression, as they come; texts and comments in it are passed over.

    A text is read by its tokens, not by CEL's grammar: a loop variable that is called `tasks` is taken for
    the tasks.
    """
    for token in _TOKENS.finditer(text):
        if token["id"]:
            yield token["id"]
        elif token["quoted"]:
            yield token["quoted"][1:-1]


def ends_in_comment(text: str) -> bool:
    """Whether what would be written after the text would be part of a comment."""
    last = None
    for token in _TOKENS.finditer(text):
        last = token
    return last is not None and last["comment"] is not None and last.end() == len(text)
