"""Templates: JSON values whose texts may hold `${...}`."""

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
    """Whether it holds no expression: its value needs no bindings."""
    names: Names
    """What `evaluate` must be given."""
    result_type: str
    """NULL, BOOL, INT, DOUBLE, STRING, LIST or MAP as far as it is known; DYN for any."""
    _evaluate: _Evaluate

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> JsonValue:
        """The value of the template.

        `bindings` holds what `names` says: `input`, `execution` (an object), `item`, `index`, and `tasks` as
        `{id: {"output": ..., "status": ...}}`. Only what is used is read. Numbers are taken as they are: int
        is CEL's int, float its double. The result may share parts with the template and the bindings: treat
        it as read-only.

        All expressions take their steps from `budget`; without one they may take MAX_TOTAL_WORK together.

        Raises EvaluationError, with the path within the template. May be repeated.
        """
        return self._evaluate(bindings, budget or Budget())

    def for_items(
        self, bindings: Mapping[str, Any], budget: Budget | None = None
    ) -> Callable[[JsonValue, int], JsonValue]:
        """Return a function that gives the value for an item and its index.

        It gives what `evaluate` gives, at a cost that does not grow with what is bound beside the item: what
        depends on no item is evaluated once. All items take their steps from `budget`. The function is for
        one thread, and the items that it was given must live as long as it does.
        """
        shared = ItemBindings(bindings)
        total = budget or Budget()

        def evaluate(item: JsonValue, index: int) -> JsonValue:
            shared.turn_to(item, index)
            return self._evaluate(shared, total)

        return evaluate


def compile_template(value: JsonValue, *, scope: Scope) -> Template:
    """Compile a JSON value whose texts may hold `${...}`; the keys of its objects are taken as they are.

    A text that is one `${...}` and nothing else has the value of the expression, with its type; in a longer
    text the value is inserted (texts as they are, the rest as JSON). `$${` is a literal `${`.

    Raises ExpressionError for the first problem, with its path; `check_template` gives all of them.
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
    """One walk over a template. A part with a problem becomes a constant, and the walk goes on."""

    def __init__(self, scope: Scope) -> None:
        self.names = Names()
        self.count = 0
        self.expressions: dict[_Path, Expression] = {}
        """The expressions that are the whole of a text, by where they stand."""
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
                f"more than {MAX_TEMPLATE_EXPRESSIONS} expressions: pass on whole values, as `${{input}}`"
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
