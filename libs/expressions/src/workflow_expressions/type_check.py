"""Check an expression against the known types of the values that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from workflow_expressions import syntax, type_fit
from workflow_expressions.access import Access, reference
from workflow_expressions.engine import Expression
from workflow_expressions.errors import (
    ExpressionError,
    ExpressionSyntaxError,
    ExpressionWarning,
    PathSegment,
    UnknownNameError,
    format_path,
)
from workflow_expressions.limits import MAX_SIMILAR_NAMES
from workflow_expressions.literals import literal_problems
from workflow_expressions.suggestions import nearest
from workflow_expressions.type_fit import Checked
from workflow_expressions.types import ANY, EnumType, Kind, MaybeNull, Presence, ValueType

Path = tuple[PathSegment, ...]
_NO_OBJECT: Final = "only an object has keys"
_NO_LIST: Final = "only a list has numbered elements"


@dataclass(frozen=True, slots=True)
class Types:
    """The types that are known in the scope of an expression."""

    roots: ValueType
    """An object with a member for each of `input`, `execution`, `item`, `index`, `tasks`."""
    guarded: frozenset[Path] = frozenset()
    """Paths whose presence was tested before, for example in the task's `when`."""


def check_types(expression: Expression, types: Types) -> Checked:
    """Check an expression that compiles. Ask CEL's own checker only if the expression is more than a path."""
    walk = _Walk(expression, types)
    known = [(each, walk.type_at(each)) for each in expression.reads if each.plain]
    for each in expression.reads:
        if not each.plain:
            walk.type_at(each)
    if reference(expression.syntax.tree) is not None:
        return Checked(known[0][1], walk.problems)
    if any(not isinstance(problem, ExpressionWarning) for problem in walk.problems):
        return Checked(ANY, walk.problems)
    problems = [*walk.problems, *_comparison_problems(expression, walk), *literal_problems(expression)]
    result = type_fit.check(expression, known)
    return Checked(result.type, [*problems, *result.problems])


def guards(expression: Expression) -> frozenset[Path]:
    """Return the paths that certainly exist if a condition is true: those that it reads or tests."""
    return frozenset((each.root, *each.path) for each in expression.reads)


def _tested(expression: Expression) -> frozenset[Path]:
    """Return the paths whose presence an expression tests: with `has()`, `.?`, or `in` on the object."""
    tested = {(each.root, *each.path) for each in expression.reads if not each.plain}
    whole = {(each.root, *each.path) for each in expression.reads if each.plain}
    return frozenset(tested | {path for path in whole if any(_is_below(path, other) for other in whole)})


def _is_below(path: Path, outer: Path) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


class _Unsure(ExpressionWarning):
    """A value that may be absent. It is not a problem if the expression tests for it first."""


class _Walk:
    """Follows the paths of an expression through the known types, and collects problems."""

    def __init__(self, expression: Expression, types: Types) -> None:
        self.problems: list[ExpressionError] = []
        self._expression = expression
        self._text = expression.text
        self._roots = types.roots
        self._types = types
        self._found: dict[tuple[str, Path, bool], ValueType] = {}

    @cached_property
    def _guarded(self) -> frozenset[Path]:
        """Paths whose presence was tested."""
        return self._types.guarded | _tested(self._expression)

    @cached_property
    def _told(self) -> frozenset[Path]:
        """Paths that were read."""
        return self._types.guarded | guards(self._expression)

    def type_at(self, each: Access) -> ValueType:
        """Return the type of the value at the end of a path, or ANY after a problem. Check each path once."""
        key = (each.root, each.path, each.plain)
        if key not in self._found:
            self._found[key] = self._follow(each)
        return self._found[key]

    def _follow(self, each: Access) -> ValueType:
        current = self._roots
        path: Path = ()
        for key in (each.root, *each.path):
            current, problem = self._step(current, path, key)
            path = (*path, key)
            if problem is None or (
                isinstance(problem, _Unsure) and (not each.plain or path in self._guarded)
            ):
                continue
            self.problems.append(problem)
            if not isinstance(problem, ExpressionWarning):
                return ANY
        return current

    def _step(
        self, outer: ValueType, above: Path, key: PathSegment
    ) -> tuple[ValueType, ExpressionError | None]:
        rule, wanted = (_NO_LIST, Kind.LIST) if isinstance(key, int) else (_NO_OBJECT, Kind.MAP)
        if outer.kind not in (Kind.ANY, wanted):
            return ANY, _wrong_kind(above, outer, rule, self._text)
        null = self._null_problem(outer, above)
        if isinstance(key, int):
            return outer.item, null
        member = outer.member(key)
        return member.type, _presence_problem(member.presence, above, key, outer, self._text) or null

    def _null_problem(self, outer: ValueType, above: Path) -> ExpressionWarning | None:
        if not isinstance(outer, MaybeNull) or outer.told_by in self._told:
            return None
        sentence = f"`{format_path(above)}` may be null, and then this fails: {outer.reason}"
        advice = f"test `{format_path(outer.told_by)}` first"
        return ExpressionWarning(f"{sentence}; {advice}", expression=self._text)


def _presence_problem(
    presence: Presence, above: Path, key: str, outer: ValueType, text: str
) -> ExpressionError | None:
    if presence is Presence.ALWAYS:
        return None
    shown, whole = format_path(above), format_path((*above, key))
    suggestion = "" if presence is Presence.MAYBE else nearest(key, islice(outer.names, MAX_SIMILAR_NAMES))
    guess = f": did you mean `{suggestion}`?" if suggestion else ""
    declared = f" in `{outer.source}`" if outer.source else ""
    match presence:
        case Presence.NEVER:
            names = ", ".join(f"`{name}`" for name in sorted(outer.names)[:8])
            advice = guess or (f": there is {names}" if names else ": it has no keys at all")
            sentence = f"`{shown}` has no `{key}`{declared}{advice}"
            return UnknownNameError(sentence, expression=text, suggestion=suggestion).of(key)
        case Presence.UNKNOWN if suggestion:
            sentence = f"`{whole}` is not declared{declared}{guess}"
            return ExpressionWarning(sentence, expression=text, suggestion=suggestion)
        case Presence.MAYBE:
            sentence = f"`{whole}` may be absent, and then this fails: make it required{declared}, "
            return _Unsure(f"{sentence}test it with `has({whole})`, or give a default", expression=text)
    return None


def _wrong_kind(path: Path, found: ValueType, rule: str, text: str) -> ExpressionSyntaxError:
    sentence = f"`{format_path(path)}` is {_NOUNS[found.kind]}: {rule}"
    return ExpressionSyntaxError(sentence, expression=text)


_NOUNS: Final = {
    Kind.NULL: "null",
    Kind.BOOL: "true or false",
    Kind.INT: "a whole number",
    Kind.DOUBLE: "a number",
    Kind.NUMBER: "a number",
    Kind.STRING: "a string",
    Kind.LIST: "a list",
    Kind.MAP: "an object",
}


def _comparison_problems(expression: Expression, walk: _Walk) -> Iterator[ExpressionError]:
    """Yield a problem for each comparison with a word that the other side can never equal."""
    for node in expression.syntax.nodes:
        if not isinstance(node, syntax.Call) or node.function not in ("_==_", "_!=_", "@in"):
            continue
        for side, other in (node.arguments, node.arguments[::-1]):
            path = reference(side)
            if path is None or not isinstance(known := walk.type_at(path), EnumType):
                continue
            words = other.elements if isinstance(other, syntax.ListOf) else (other,)
            for word in words:
                if isinstance(word, syntax.Literal) and isinstance(word.value, str):
                    yield from _never_equal(path, known, word.value, expression.text)


def _never_equal(path: Access, known: EnumType, word: str, text: str) -> Iterator[ExpressionError]:
    if word in known.values:
        return
    name = format_path((path.root, *path.path))
    if word in known.never:
        sentence = f"`{name}` is never `{word}` here, so the result is always the same"
        yield ExpressionWarning(sentence, expression=text)
        return
    values = sorted(known.values | known.never)
    suggestion = nearest(word, values) or nearest(word.upper(), values)
    guess = f"did you mean `{suggestion}`?" if suggestion else f"it is one of {', '.join(values[:12])}"
    sentence = f"`{name}` is never `{word}`: {guess}"
    yield ExpressionSyntaxError(sentence, expression=text, suggestion=suggestion)
