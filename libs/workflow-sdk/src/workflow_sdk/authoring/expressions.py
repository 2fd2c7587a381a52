"""Expressions as Python objects: `orders.input.amount > 100` writes the CEL text `input.amount > 100`.

Operators write CEL and compute nothing. `&`, `|` and `~` write CEL's `&&`, `||` and `!`, because Python
does not allow a class to redefine `and`, `or` and `not`. They bind tighter than comparisons, so put each
comparison in parentheses.
"""

from __future__ import annotations

import inspect
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.payloads import PayloadError, check

Owner = tuple[int, str]
"""A workflow object: its own number, and its id for messages."""

TERNARY, OR, AND, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(8)
"""How tightly an expression binds."""

# An expression that is formatted into a text stands between these two. The token is random and new in each
# process, so that a text from elsewhere can't look like an expression.
_BEGIN, _END = f"\ufdd0{secrets.token_hex(8)}", "\ufdd1"
_MARKED = re.compile(f"{_BEGIN}([^{_END}]*){_END}")


class Expression:
    """A value that becomes known when the workflow runs.

    Every attribute that does not begin with an underscore is a field of the value. `["any key"]` and `[0]`
    are its members. A call calls CEL's function: `orders.input.name.startsWith("a")`. If the function takes a
    variable and a body, pass a lambda: `check.output.parcels.exists(lambda p: p.heavy)`.

    In an f-string it becomes `${...}`. If it is the whole f-string, the value keeps its type. It has no
    truth value. Methods raise WorkflowDefinitionError if CEL has no such expression.
    """

    __slots__ = ("_level", "_owners", "_text")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str, level: int = PRIMARY, owners: Iterable[Owner] = ()) -> None:
        self._text = text
        self._level = level
        self._owners = frozenset(owners)

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(f"an expression has no attribute {name!r}: write [{name!r}] for that key")
        return self._derived(cel_text.member(self._operand(PRIMARY), name))

    def __getitem__(self, key: str | int | Expression) -> Expression:
        match key:
            case str():
                return self._derived(cel_text.member(self._operand(PRIMARY), _plain_text(key)))
            case Expression():
                return self._derived(f"{self._operand(PRIMARY)}[{key._text}]", key)
            case int() if not isinstance(key, bool) and key >= 0:
                return self._derived(f"{self._operand(PRIMARY)}[{cel_text.number(key)}]")
        raise WorkflowDefinitionError(f"{self!r} has no member [{key!r}]: use a text, or a number from 0")

    def __call__(self, *arguments: Any) -> Expression:
        """Return a call of CEL's function. Raises WorkflowDefinitionError if this is not a name."""
        if not self._ends_in_name("^|[^A-Za-z0-9_]"):
            raise WorkflowDefinitionError(f"{self!r} is no function: call a name, such as value.size()")
        parts = list(_arguments(arguments))
        return self._derived(f"{self._text}({', '.join(part._text for part in parts)})", *parts)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary(self, "==", other, RELATION)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary(self, "!=", other, RELATION)

    def __lt__(self, other: Any) -> Expression:
        return _binary(self, "<", other, RELATION)

    def __le__(self, other: Any) -> Expression:
        return _binary(self, "<=", other, RELATION)

    def __gt__(self, other: Any) -> Expression:
        return _binary(self, ">", other, RELATION)

    def __ge__(self, other: Any) -> Expression:
        return _binary(self, ">=", other, RELATION)

    def __add__(self, other: Any) -> Expression:
        return _binary(self, "+", other, SUM)

    def __radd__(self, other: Any) -> Expression:
        return _binary(other, "+", self, SUM)

    def __sub__(self, other: Any) -> Expression:
        return _binary(self, "-", other, SUM)

    def __rsub__(self, other: Any) -> Expression:
        return _binary(other, "-", self, SUM)

    def __mul__(self, other: Any) -> Expression:
        return _binary(self, "*", other, PRODUCT)

    def __rmul__(self, other: Any) -> Expression:
        return _binary(other, "*", self, PRODUCT)

    def __truediv__(self, other: Any) -> Expression:
        return _binary(self, "/", other, PRODUCT)

    def __rtruediv__(self, other: Any) -> Expression:
        return _binary(other, "/", self, PRODUCT)

    def __mod__(self, other: Any) -> Expression:
        return _binary(self, "%", other, PRODUCT)

    def __rmod__(self, other: Any) -> Expression:
        return _binary(other, "%", self, PRODUCT)

    def __and__(self, other: Any) -> Expression:
        return _joined(self, "&", other, AND)

    def __rand__(self, other: Any) -> Expression:
        return _joined(other, "&", self, AND)

    def __or__(self, other: Any) -> Expression:
        return _joined(self, "|", other, OR)

    def __ror__(self, other: Any) -> Expression:
        return _joined(other, "|", self, OR)

    def __invert__(self) -> Expression:
        return Expression(f"!{self._operand(PRIMARY)}", UNARY, self._owners)

    def __neg__(self) -> Expression:
        return Expression(f"-{self._operand(PRIMARY)}", UNARY, self._owners)

    def __bool__(self) -> NoReturn:
        raise WorkflowDefinitionError(
            f"{self!r} has no truth value before the workflow runs: join conditions with `&` and `|`, negate"
            " them with `~`, and put each comparison in parentheses"
        )

    def __contains__(self, _: object) -> NoReturn:
        raise WorkflowDefinitionError(f"`in` can't be asked of {self!r} here: write cel(f'{{a}} in {{b}}')")

    def __iter__(self) -> NoReturn:
        raise WorkflowDefinitionError(f"{self!r} has no items before the workflow runs: use `for_each`")

    def __format__(self, format_spec: str) -> str:
        if format_spec:
            raise WorkflowDefinitionError(
                f"{self!r} can't be formatted with {format_spec!r} before it is known"
            )
        return f"{_BEGIN}{json.dumps([self._text, self._level, sorted(self._owners)])}{_END}"

    def __str__(self) -> str:
        return format(self)

    def __repr__(self) -> str:
        return f"<${{{self._text}}}>"

    def _ends_in_name(self, before: str) -> bool:
        """Return whether it ends in a name that stands after a match of `before`."""
        return self._level == PRIMARY and bool(re.search(rf"({before})[A-Za-z_][A-Za-z0-9_]*\Z", self._text))

    def _operand(self, level: int) -> str:
        """Return the text as an operand, in parentheses if it binds less tightly than `level`."""
        return self._text if self._level >= level else f"({self._text})"

    def _derived(self, text: str, *others: Expression) -> Expression:
        return Expression(text, PRIMARY, self._owners.union(*(other._owners for other in others)))


def as_expression(value: Any) -> Expression:
    """Return a JSON value or an expression as an expression. Raises WorkflowDefinitionError."""
    match value:
        case Expression():
            return value
        case None | bool():
            return Expression({None: "null", True: "true", False: "false"}[value])
        case int() | float():
            return Expression(cel_text.number(value))
        case str():
            return Expression(cel_text.quote(_plain_text(value)))
        case list() | tuple():
            items = [as_expression(each) for each in value]
            return _composed(f"[{', '.join(each._text for each in items)}]", items)
        case Mapping():
            keys = [cel_text.quote(_plain_text(key)) for key in value]
            items = [as_expression(each) for each in value.values()]
            pairs = (f"{key}: {each._text}" for key, each in zip(keys, items, strict=True))
            return _composed(f"{{{', '.join(pairs)}}}", items)
    raise WorkflowDefinitionError(
        f"{value!r} can't stand in an expression: use None, bool, int, float, str, list, dict, or an"
        " expression such as a task's `.output`"
    )


def split(text: str) -> Iterator[str | Expression]:
    """Yield the parts of a text, in order: plain text, and the expressions that were formatted into it."""
    for position, part in enumerate(_MARKED.split(text)):
        if position % 2 == 0:
            yield part
        else:
            code, level, owners = json.loads(part)
            yield Expression(code, level, ((number, name) for number, name in owners))


def holds_expression(text: str) -> bool:
    """Return whether an expression was formatted into the text."""
    return _BEGIN in text


def _binary(left: Any, operator: str, right: Any, level: int) -> Expression:
    first, second = as_expression(left), as_expression(right)
    # CEL reads a comparison of comparisons from left to right, so both sides get parentheses.
    text = f"{first._operand(level + (level == RELATION))} {operator} {second._operand(level + 1)}"
    return Expression(text, level, first._owners | second._owners)


def _joined(left: Any, operator: str, right: Any, level: int) -> Expression:
    for side in (left, right):
        if not isinstance(side, Expression | bool):
            raise WorkflowDefinitionError(
                f"`{operator}` joins conditions, and {side!r} is none: put comparisons in parentheses, as in"
                " (a == 1) & (b == 2)"
            )
    return _binary(left, operator * 2, right, level)


def _composed(text: str, parts: Iterable[Expression]) -> Expression:
    return Expression(text, PRIMARY, frozenset().union(*(part._owners for part in parts)))


def _arguments(values: Iterable[Any]) -> Iterator[Expression]:
    """Yield the arguments of a call. The variables of its lambdas come once, before the first body."""
    variables: list[str] = []
    for value in values:
        if isinstance(value, Expression) or not callable(value):
            yield as_expression(value)
            continue
        names = _variables(value)
        if not variables:
            variables = names
            yield from map(Expression, names)
        elif names != variables:
            raise WorkflowDefinitionError(
                f"lambdas of one call have the same variables: {variables}, not {names}"
            )
        yield as_expression(value(*map(Expression, names)))


def _variables(function: Callable[..., Any]) -> list[str]:
    names = list(inspect.signature(function).parameters)
    for name in names:
        if name in cel_text.ROOTS or not cel_text.is_identifier(name):
            raise WorkflowDefinitionError(f"a lambda's variable can't be called {name!r} in CEL: rename it")
    return names


def _plain_text(text: Any) -> str:
    if not isinstance(text, str):
        raise WorkflowDefinitionError(f"{text!r} is no key of an object: keys are texts")
    try:
        check(text, "a text in an expression")
    except PayloadError as error:
        raise WorkflowDefinitionError(str(error)) from None
    if holds_expression(text):
        raise WorkflowDefinitionError(
            "a text with an expression in it can't stand within another expression: join them with `+`, as in"
            " 'order ' + orders.input.id"
        )
    return text
