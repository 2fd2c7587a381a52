"""Check whether the known types in an expression fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from workflow_expressions import syntax, typed_text
from workflow_expressions.access import Access, reference
from workflow_expressions.engine import Expression
from workflow_expressions.errors import (
    ExpressionError,
    ExpressionSyntaxError,
    ExpressionWarning,
    format_path,
)
from workflow_expressions.types import ANY, Kind, ValueType, of_kind


class Checked(NamedTuple):
    """The type of an expression, and its problems: errors and warnings (ExpressionWarning)."""

    type: ValueType
    problems: list[ExpressionError]


Typed = tuple[Access, int, ValueType]
"""A path, its offset in the text, and its type."""


def check(expression: Expression, known: list[tuple[Access, ValueType]]) -> Checked:
    """Return the result of CEL's checker if these paths have these types.

    The checker requires both branches of a condition (`? :`) to be of one kind, but CEL's evaluation does
    not. So if the types do not fit, check again with the type ANY for all paths that are branches.
    """
    known = [each for each in known if each[1].kind is not Kind.ANY]
    nodes, places = expression.syntax.nodes, expression.syntax.positions
    compared = _compared_numbers(nodes, {each.node_id: found.kind for each, found in known})
    typed = [(each, places[each.node_id], found) for each, found in known if each.node_id not in compared]
    checked = _try(expression, typed)
    if checked.problems:
        branches = _branches(nodes)
        fewer = [each for each in typed if each[0].node_id not in branches]
        if len(fewer) < len(typed):
            return _try(expression, fewer)
    return checked


def _try(expression: Expression, typed: list[Typed]) -> Checked:
    """Check with every number as INT, then as DOUBLE. A failure for only one of them is a warning."""
    kinds = (Kind.INT, Kind.DOUBLE) if any(_is_number(found) for _, _, found in typed) else (Kind.ANY,)
    results, errors = list[ValueType](), list[ExpressionError]()
    for kind in kinds:
        try:
            results.append(typed_text.check(expression.text, typed, kind))
        except ExpressionSyntaxError as error:
            errors.append(error)
    if not errors:
        same = len({result.kind for result in results}) == 1
        return Checked(results[0] if same else of_kind(Kind.NUMBER), [])
    if not results:
        return Checked(ANY, errors[:1])
    name = next(format_path((each.root, *each.path)) for each, _, found in typed if _is_number(found))
    sentence = f"`{name}` may be a whole number or a decimal, and this fails for one of them"
    advice = f"`double({name})` is always a decimal: {errors[0].message}"
    return Checked(ANY, [ExpressionWarning(f"{sentence}; {advice}", expression=expression.text)])


def _branches(nodes: Iterable[syntax.Node]) -> set[int]:
    """Return the node ids of the paths that are a whole branch of a condition, after `?` or `:`."""
    conditions = [node for node in nodes if isinstance(node, syntax.Call) and node.function == "_?_:_"]
    paths = [reference(branch) for node in conditions for branch in node.arguments[1:]]
    return {path.node_id for path in paths if path is not None}


def _is_number(found: ValueType) -> bool:
    return Kind.NUMBER in (found.kind, found.item.kind)


_NUMERIC: Final = frozenset({Kind.INT, Kind.DOUBLE, Kind.NUMBER})
_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})


def _compared_numbers(nodes: Iterable[syntax.Node], kinds: Mapping[int, Kind]) -> set[int]:
    """Return the node ids of the paths to numbers that are compared with numbers.

    CEL's checker requires both sides to be of one kind, but its evaluation does not.
    """
    found: set[int] = set()
    for node in nodes:
        if not isinstance(node, syntax.Call) or node.function not in _COMPARISONS:
            continue
        sides = [reference(side) for side in node.arguments]
        numeric = [each for each in sides if each is not None and kinds.get(each.node_id) in _NUMERIC]
        others = [
            side
            for side, path in zip(node.arguments, sides, strict=True)
            if path not in numeric and not _may_be_number(side, path, kinds)
        ]
        if not others:
            found.update(each.node_id for each in numeric)
    return found


def _may_be_number(side: syntax.Node, path: Access | None, kinds: Mapping[int, Kind]) -> bool:
    if isinstance(side, syntax.Literal):
        return not isinstance(side.value, str)
    return path is None or kinds.get(path.node_id, Kind.ANY) is Kind.ANY
