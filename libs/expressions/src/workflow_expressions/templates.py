"""Templates: JSON values whose strings may contain `${...}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workflow_expressions.budget import Budget
from workflow_expressions.engine import Expression, compile_expression
from workflow_expressions.errors import ExpressionError, ExpressionLimitError, PathSegment
from workflow_expressions.items import ItemBindings
from workflow_expressions.limits import MAX_TEMPLATE_DEPTH, MAX_TEMPLATE_EXPRESSIONS
from workflow_expressions.scanner import Code, scan
from workflow_expressions.scope import Names, Scope
from workflow_expressions.values import JsonValue, dump, exact

_Path = tuple[PathSegment, ...]
_Evaluate = Callable[[Mapping[str, Any], Budget], JsonValue]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. It never changes and may be shared between threads."""

    is_constant: bool
    """True if the template has no expression, so that its value needs no bindings."""
    names: Names
    """The names that the caller of `evaluate` must bind."""
    result_type: str
    """NULL, BOOL, INT, DOUBLE, STRING, LIST or MAP, or DYN if the type is not known."""
    _evaluate: _Evaluate

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> JsonValue:
        """Return the value of the template.

        `bindings` has a value for each of `names`: `input`, `execution` (an object), `item`, `index`, and
        `tasks` as `{id: {"output": ..., "status": ...}}`. Other bindings are ignored. A Python int becomes
        CEL's int, a float its double. The result may share parts with the template and the bindings, so
        treat it as read-only.

        All expressions together spend their steps from `budget`, or from MAX_TOTAL_WORK without a budget.

        Raise EvaluationError, with the path within the template, if an expression fails. May be repeated.
        """
        return self._evaluate(bindings, budget or Budget())

    def for_items(
        self, bindings: Mapping[str, Any], budget: Budget | None = None
    ) -> Callable[[JsonValue, int], JsonValue]:
        """Return a function that returns the value for an item and its index.

        It returns the same values as `evaluate`. Parts that do not depend on the item are evaluated only
        once, so the cost per item does not grow with the other bindings. All items spend their steps from
        `budget`. Use the function in one thread only, and keep the items alive as long as the function.
        """
        shared = ItemBindings(bindings)
        total = budget or Budget()

        def evaluate(item: JsonValue, index: int) -> JsonValue:
            shared.turn_to(item, index)
            return self._evaluate(shared, total)

        return evaluate


def compile_template(value: JsonValue, *, scope: Scope) -> Template:
    """Compile a JSON value whose strings may contain `${...}`. Keys of objects are never evaluated.

    A string that is one `${...}` and nothing else has the value of the expression, with its type. In a
    longer string the value is inserted: strings as they are, other values as JSON. `$${` is a literal `${`.

    Raise ExpressionError for the first problem, with its path. `check_template` returns all problems.
    """
    compiler = _Compiler(scope)
    evaluate = compiler.compile(value, ())
    if compiler.problems:
        raise compiler.problems[0]
    constant = compiler.count == 0
    if constant:
        value = evaluate({}, Budget())
        evaluate = _constant(value)
    return Template(constant, compiler.names, _result_type(value, compiler.expressions), evaluate)


class _Compiler:
    """One walk over a template. A part with a problem becomes a constant, and the walk continues."""

    def __init__(self, scope: Scope) -> None:
        self.names = Names()
        self.count = 0
        self.expressions: dict[_Path, Expression] = {}
        """The expressions that are a whole string, by their path in the template."""
        self.problems: list[ExpressionError] = []
        self._scope = scope

    def compile(self, value: JsonValue, path: _Path) -> _Evaluate:
        if len(path) > MAX_TEMPLATE_DEPTH:
            self.problems.append(
                ExpressionLimitError(f"more than {MAX_TEMPLATE_DEPTH} levels: make it flatter", path=path[:8])
            )
            return _constant(None)
        before = self.count
        match value:
            case str():
                return self._text(value, path)
            case list():
                parts = [self.compile(each, (*path, index)) for index, each in enumerate(value)]
                return (
                    _list(parts) if self.count > before else _constant([part({}, Budget()) for part in parts])
                )
            case dict():
                fields = {key: self.compile(each, (*path, key)) for key, each in value.items()}
                if self.count > before:
                    return _object(fields)
                return _constant({key: field({}, Budget()) for key, field in fields.items()})
            case _:
                return _constant(value)

    def _text(self, text: str, path: _Path) -> _Evaluate:
        if "${" not in text:
            return _constant(text)
        try:
            segments = scan(text)
            parts = [self._expression(each) if isinstance(each, Code) else each for each in segments]
        except ExpressionError as error:
            self.problems.append(error.within(path))
            return _constant(None)
        if not any(isinstance(part, Expression) for part in parts):
            return _constant("".join(part for part in parts if isinstance(part, str)))
        if len(parts) == 1 and isinstance(parts[0], Expression):
            self.expressions[path] = parts[0]
            return _value(parts[0], path)
        return _interpolation(parts, path)

    def _expression(self, code: Code) -> Expression:
        self.count += 1
        if self.count > MAX_TEMPLATE_EXPRESSIONS:
            raise ExpressionLimitError(
                f"more than {MAX_TEMPLATE_EXPRESSIONS} expressions: pass whole values, such as `${{input}}`"
            )
        expression = compile_expression(code.text, self._scope)
        self.names |= expression.names
        return expression


def _result_type(value: JsonValue, expressions: Mapping[_Path, Expression]) -> str:
    if () in expressions:
        return expressions[()].result_type
    kinds = {bool: "BOOL", int: "INT", float: "DOUBLE", str: "STRING", list: "LIST", dict: "MAP"}
    return kinds.get(type(value), "NULL")


def _constant(value: JsonValue) -> _Evaluate:
    return lambda _, __: value


def _list(parts: list[_Evaluate]) -> _Evaluate:
    return lambda bindings, budget: [part(bindings, budget) for part in parts]


def _object(fields: dict[str, _Evaluate]) -> _Evaluate:
    return lambda bindings, budget: {key: field(bindings, budget) for key, field in fields.items()}


def _value(expression: Expression, path: _Path) -> _Evaluate:
    def evaluate(bindings: Mapping[str, Any], budget: Budget) -> JsonValue:
        try:
            return exact(expression.evaluate(bindings, budget))
        except ExpressionError as error:
            raise error.within(path) from None

    return evaluate


def _interpolation(parts: list[Expression | str], path: _Path) -> _Evaluate:
    pieces = [part.evaluate if isinstance(part, Expression) else _constant(part) for part in parts]

    def evaluate(bindings: Mapping[str, Any], budget: Budget) -> JsonValue:
        try:
            return "".join(dump(piece(bindings, budget)) for piece in pieces)
        except ExpressionError as error:
            raise error.within(path) from None

    return evaluate
