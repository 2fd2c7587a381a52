"""Find all problems of a template or a condition at once, and the type of its value."""

from __future__ import annotations

from typing import Final

from workflow_expressions.conditions import compile_condition, no_condition
from workflow_expressions.engine import Expression, compile_expression
from workflow_expressions.errors import (
    EvaluationError,
    ExpressionError,
    ExpressionLimitError,
    ExpressionWarning,
)
from workflow_expressions.limits import MAX_TEMPLATE_DEPTH, MAX_TEMPLATE_EXPRESSIONS
from workflow_expressions.scanner import Code, scan
from workflow_expressions.scope import Scope
from workflow_expressions.type_check import Path, Types, check_types, guards
from workflow_expressions.type_fit import Checked
from workflow_expressions.types import ANY, STRING, Kind, ListType, ObjectType, ValueType, of_kind
from workflow_expressions.values import JsonValue

NOTHING_KNOWN: Final = Types(ANY)
_KINDS: Final = {bool: Kind.BOOL, int: Kind.INT, float: Kind.DOUBLE, type(None): Kind.NULL}


def check_template(value: JsonValue, *, scope: Scope, types: Types = NOTHING_KNOWN) -> Checked:
    """Return the type of a template's value, and every problem with its path.

    Without `types`, a template that compiles has no errors among its problems. With `types`, the problems
    also cover the values: names that nothing declares, and types that do not fit.
    """
    checker = _Checker(scope, types)
    value_type = checker.check(value, ())
    return Checked(value_type, checker.problems)


def check_condition(
    text: str, *, scope: Scope, types: Types = NOTHING_KNOWN
) -> tuple[list[ExpressionError], frozenset[Path]]:
    """Return every problem of a condition, and the paths that certainly exist if the condition is true."""
    try:
        expression = compile_condition(text, scope=scope).expression
    except ExpressionError as error:
        return [error], frozenset()
    found = check_types(expression, types)
    problems = found.problems
    if found.type.kind not in (Kind.ANY, Kind.BOOL):
        problems.append(no_condition(found.type.kind, expression.text))
    elif not expression.reads:
        problems += _constant_problems(expression)
    return problems, guards(expression)


def _constant_problems(expression: Expression) -> list[ExpressionError]:
    try:
        outcome = "always true: leave it out" if expression.evaluate({}) else "always false: this never runs"
    except EvaluationError as error:
        return [error]
    return [ExpressionWarning(f"the condition is {outcome}", expression=expression.text)]


class _Checker:
    """One walk over a template. A part with a problem gets the type ANY, and the walk continues."""

    def __init__(self, scope: Scope, types: Types) -> None:
        self.problems: list[ExpressionError] = []
        self._scope = scope
        self._types = types
        self._count = 0

    def check(self, value: JsonValue, path: Path) -> ValueType:
        if len(path) > MAX_TEMPLATE_DEPTH:
            sentence = f"more than {MAX_TEMPLATE_DEPTH} levels: make it flatter"
            self.problems.append(ExpressionLimitError(sentence, path=path[:8]))
            return ANY
        match value:
            case str():
                return self._text(value, path)
            case list():
                types = [self.check(each, (*path, index)) for index, each in enumerate(value)]
                kinds = {each.kind for each in types}
                return ListType(types[0] if len(types) == 1 else of_kind(*kinds) if len(kinds) == 1 else ANY)
            case dict():
                return ObjectType({key: self.check(each, (*path, key)) for key, each in value.items()})
            case _:
                return of_kind(_KINDS[type(value)])

    def _text(self, text: str, path: Path) -> ValueType:
        if "${" not in text:
            return STRING
        try:
            segments = scan(text)
            types = [self._expression(each, path) for each in segments if isinstance(each, Code)]
        except ExpressionError as error:
            self.problems.append(error.within(path))
            return ANY
        return types[0] if len(segments) == 1 and types else STRING

    def _expression(self, code: Code, path: Path) -> ValueType:
        self._count += 1
        if self._count > MAX_TEMPLATE_EXPRESSIONS:
            raise ExpressionLimitError(
                f"more than {MAX_TEMPLATE_EXPRESSIONS} expressions: pass whole values, such as `${{input}}`"
            )
        found = check_types(compile_expression(code.text, self._scope), self._types)
        self.problems += [problem.within(path) for problem in found.problems]
        return found.type
