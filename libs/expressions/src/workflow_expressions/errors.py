"""The errors of an expression.

ExpressionError
├── ExpressionSyntaxError    the text does not parse or does not type-check
├── UnknownNameError         it uses a name that does not exist in its scope
├── ExpressionLimitError     it exceeds a limit of `limits.py`
├── ExpressionWarning        it is valid, but probably a mistake; listed among problems, never raised
└── EvaluationError          it is valid, but failed on these values
    └── BudgetExceededError  it would take too long on these values
        └── WorkLimitError   all evaluations that share a budget would take too long together
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

PathSegment = str | int


def format_path(path: Sequence[PathSegment]) -> str:
    """Return `("url", "parts", 0)` as `url.parts[0]`, and the empty path as ""."""
    text = ""
    for segment in path:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif segment.isidentifier():
            text += f".{segment}" if text else segment
        else:
            text += f"[{segment!r}]"
    return text


class ExpressionError(ValueError):
    """A template or a condition that cannot be compiled or evaluated.

    `message` tells the author of the workflow what is wrong and what to do. `expression` is the CEL text
    as written. `line` and `column` count from 1 within it; 0 means unknown. `path` leads to the string
    within the template; it is empty if the template itself is that string. `suggestion` is a similar name
    that the author probably meant, or "".
    """

    def __init__(
        self,
        message: str,
        *,
        expression: str | None = None,
        line: int = 0,
        column: int = 0,
        path: Sequence[PathSegment] = (),
        suggestion: str = "",
    ) -> None:
        super().__init__(message)
        self.suggestion = suggestion
        self.message = message
        self.expression = expression
        self.line = line
        self.column = column
        self.path = tuple(path)

    def within(self, path: Sequence[PathSegment]) -> Self:
        """Set the path within the template to `path`, and return this error."""
        self.path = tuple(path)
        return self

    def __str__(self) -> str:
        where = format_path(self.path)
        text = f"{where}: {self.message}" if where else self.message
        if self.expression is None:
            return text
        position = f", line {self.line}" if self.line > 1 else ""
        position += f", column {self.column}" if self.column else ""
        return f"{text} (in ${{{_shortened(self.expression)}}}{position})"


class ExpressionSyntaxError(ExpressionError):
    """A text that is not an expression, or an expression whose types do not fit."""


class UnknownNameError(ExpressionError):
    """A name that does not exist in the scope of the expression. `name` is the name as written."""

    name: str = ""

    def of(self, name: str) -> Self:
        """Set `name`, and return this error."""
        self.name = name
        return self


class ExpressionLimitError(ExpressionError):
    """A template or an expression that is larger than the limits allow."""


class ExpressionWarning(ExpressionError):  # noqa: N818 - it is listed among problems, but is not an error
    """An expression that can be evaluated, but is probably a mistake."""


class EvaluationError(ExpressionError):
    """An expression that failed on the values it read."""


class BudgetExceededError(EvaluationError):
    """An expression that would take too long, or return too much, on the values it reads."""


class WorkLimitError(BudgetExceededError):
    """An evaluation that would exceed the budget that it shares with others."""


def _shortened(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
