"""Let CEL's own checker use the known types of values.

The checker knows the types of variables, but not of the keys of a JSON object. So this module replaces each
path of known type, such as `input.amount`, by a variable of that type and compiles the text again. It pads
the variable to the length of the path, so that positions in messages stay right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cel_expr_python import cel

from workflow_expressions import messages, programs
from workflow_expressions.access import Access
from workflow_expressions.errors import ExpressionSyntaxError
from workflow_expressions.limits import MAX_CACHED_EXPRESSIONS
from workflow_expressions.scope import ROOTS
from workflow_expressions.types import ANY, Kind, ListType, ValueType, of_kind

_OBJECT: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_BY_KIND: Final = {
    Kind.BOOL: ("b", cel.Type.BOOL),
    Kind.INT: ("i", cel.Type.INT),
    Kind.DOUBLE: ("d", cel.Type.DOUBLE),
    Kind.STRING: ("s", cel.Type.STRING),
    Kind.MAP: ("m", _OBJECT),
}
_ENVIRONMENT: Final = cel.NewEnv(
    variables={
        **dict.fromkeys(ROOTS, cel.Type.DYN),
        "index": cel.Type.INT,
        "_t_l": cel.Type.List(cel.Type.DYN),
        **{f"_t_{letter}": kind for letter, kind in _BY_KIND.values()},
        **{f"_tl{letter}": cel.Type.List(kind) for letter, kind in _BY_KIND.values()},
    },
    extensions=programs.EXTENSIONS,
)


def check(text: str, known: Iterable[tuple[Access, int, ValueType]], number: Kind) -> ValueType:
    """Return the type of an expression if the paths at these offsets have these types.

    The kind NUMBER counts as `number`. Raise ExpressionSyntaxError if the types do not fit.
    """
    typed = text
    for access, offset, value_type in known:
        variable = _variable(value_type, number)
        end = _end(text, access, offset)
        if variable and end:
            typed = typed[:offset] + variable.ljust(end - offset) + typed[end:]
    try:
        return _result_type(typed)
    except RuntimeError as error:
        problem = messages.compile_problem(str(error))
        raise ExpressionSyntaxError(
            problem.text, expression=text, line=problem.line, column=problem.column
        ) from None


@lru_cache(maxsize=MAX_CACHED_EXPRESSIONS)
def _result_type(typed: str) -> ValueType:
    return _of_cel(_ENVIRONMENT.compile(typed).return_type().name())


def _variable(value_type: ValueType, number: Kind) -> str:
    """Return the variable of this type, or "" if nothing is known about the type."""
    if value_type.kind is Kind.LIST:
        letter = _letter(value_type.item.kind, number)
        return f"_tl{letter}" if letter else "_t_l"
    letter = _letter(value_type.kind, number)
    return f"_t_{letter}" if letter else ""


def _letter(kind: Kind, number: Kind) -> str:
    letter, _ = _BY_KIND.get(number if kind is Kind.NUMBER else kind, ("", None))
    return letter


def _end(text: str, access: Access, offset: int) -> int:
    """Return the end of the path that begins at `offset`, or 0 if it is not written plainly on one line."""
    pattern = "".join([re.escape(access.root), *map(_step, access.path)])
    found = re.compile(pattern).match(text, offset)
    return found.end() if found is not None else 0


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return rf"[ \t]*\[[ \t]*{key}[ \t]*\]"
    quoted = rf"[ \t]*\[[ \t]*(?:'{re.escape(key)}'|\"{re.escape(key)}\")[ \t]*\]"
    return rf"(?:[ \t]*\.[ \t]*{re.escape(key)}|{quoted})"


def _of_cel(name: str) -> ValueType:
    """Return the type for CEL's name of it, such as `LIST<INT>`."""
    outer, _, inner = name.partition("<")
    if outer == Kind.LIST:
        return ListType(_of_cel(inner.removesuffix(">")))
    try:
        return of_kind(Kind(outer))
    except ValueError:
        return ANY
