"""What can be wrong with an expression.

ExpressionError
├── ExpressionSyntaxError    the text cannot be read or does not type-check
├── UnknownNameError         it uses a name that does not exist where it stands
├── ExpressionLimitError     it is over a limit of `limits.py`
├── ExpressionWarning        it is sound, and probably not what its author means; found, never raised
└── EvaluationError          it is sound, and failed on these values
    └── BudgetExceededError  it would take too long on these values
        └── WorkLimitError   all evaluations that share a budget would take too long together
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

PathSegment = str | int


def format_path(path: Sequence[PathSegment]) -> str:
    """`("url", "parts", 0)` as `url.parts[0]`; the empty path is the empty text."""
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

    `message` is a sentence for the author of the workflow, next step included. `expression` is the CEL text
    as written; `line` and `column` count from 1 within it (0 where unknown). `path` leads to the string
    within the template; it is empty where the template is that string. `suggestion` is the name that was
    probably meant, where one is near.
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
        """The same error, found at `path` of a template."""
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
    """The text is not an expression, or its types do not fit."""


class UnknownNameError(ExpressionError):
    """A name that does not exist where the expression stands. `name` is the name as written."""

    name: str = ""

    def of(self, name: str) -> Self:
        """The same error, of this name."""
        self.name = name
        return self


class ExpressionLimitError(ExpressionError):
    """A template or an expression that is larger than the limits allow."""


class ExpressionWarning(ExpressionError):  # noqa: N818 - it is one of the problems, and no error
    """Something that can be evaluated, and is probably a mistake."""


class EvaluationError(ExpressionError):
    """An expression that failed on the values it was given."""


class BudgetExceededError(EvaluationError):
    """An expression that would take too long, or give too much, on the values it was given."""


class WorkLimitError(BudgetExceededError):
    """All evaluations that share a budget would take too long together."""


def _shortened(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
