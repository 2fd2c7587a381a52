"""Conditions: expressions in `${...}` that are true or false."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow_expressions.budget import Budget
from workflow_expressions.engine import Expression, compile_expression
from workflow_expressions.errors import EvaluationError, ExpressionSyntaxError
from workflow_expressions.scanner import Code, scan
from workflow_expressions.scope import Names, Scope


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. It never changes and may be shared between threads."""

    expression: Expression

    @property
    def names(self) -> Names:
        """The names that the caller of `evaluate` must bind."""
        return self.expression.names

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> bool:
        """Return whether the condition is true. `bindings` and `budget` are as for `Template.evaluate`.

        Raise EvaluationError if the evaluation fails, or if its result is not a bool. May be repeated.
        """
        value = self.expression.evaluate(bindings, budget)
        if not isinstance(value, bool):
            kind = "null" if value is None else type(value).__name__
            raise EvaluationError(
                f"a condition must give true or false, and this gave {kind}: compare it with something",
                expression=self.expression.text,
            )
        return value


def compile_condition(text: str, *, scope: Scope) -> Condition:
    """Compile a condition: one `${...}`, with optional blanks around it.

    Raise ExpressionError if it does not compile, or if its type is known and is not bool.
    """
    segments = scan(text.strip())
    if len(segments) != 1 or not isinstance(segments[0], Code):
        raise ExpressionSyntaxError(
            "a condition is one `${...}` and nothing else, such as `${input.amount > 100}`"
        )
    expression = compile_expression(segments[0].text, scope)
    if expression.result_type not in ("BOOL", "DYN"):
        raise no_condition(expression.result_type, expression.text)
    return Condition(expression)


def no_condition(kind: str, text: str) -> ExpressionSyntaxError:
    """Return the error for a condition of another type than bool; `kind` is CEL's name of the type."""
    sentence = (
        f"a condition must give true or false, and this gives {kind.lower()}: compare it with something"
    )
    return ExpressionSyntaxError(sentence, expression=text)
