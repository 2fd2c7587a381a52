"""Split a string of a template into literal text and `${...}` expressions.

`$${` is a literal `${`. An expression ends at the brace that closes it. Braces of CEL maps count as nested
braces; braces in CEL string literals and comments do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from workflow_expressions.errors import ExpressionLimitError, ExpressionSyntaxError
from workflow_expressions.limits import MAX_EXPRESSION_CHARACTERS


@dataclass(frozen=True, slots=True)
class Code:
    """The CEL text between `${` and `}`."""

    text: str


def scan(text: str) -> tuple[str | Code, ...]:
    """Return the segments of `text` in order. Join neighbouring literals and leave out empty ones.

    Raise ExpressionSyntaxError if an expression is empty or not closed, and ExpressionLimitError if it is
    too long.
    """
    segments: list[str | Code] = []
    literal = ""
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        literal += text[position:dollar]
        if text.startswith("$${", dollar):
            literal += "${"
            position = dollar + 3
        elif text.startswith("${", dollar):
            end = _closing_brace(text, dollar + 2)
            if literal:
                segments.append(literal)
                literal = ""
            segments.append(_code(text[dollar + 2 : end]))
            position = end + 1
        else:
            literal += "$"
            position = dollar + 1
    literal += text[position:]
    if literal:
        segments.append(literal)
    return tuple(segments)


def _code(text: str) -> Code:
    if not text.strip():
        raise ExpressionSyntaxError("`${}` is empty: write an expression in it, or `$${` for a literal `${`")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ExpressionLimitError(
            f"an expression of {len(text)} characters is over the limit of {MAX_EXPRESSION_CHARACTERS}: "
            "move the work into a task's handler",
            expression=text,
        )
    return Code(text)


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character in "'\"":
            position = _string_end(text, position)
            continue
        if text.startswith("//", position):
            position = _line_end(text, position)
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    raise ExpressionSyntaxError(
        "`${` has no closing `}`: close it, or write `$${` for a literal `${`", expression=text[start:]
    )


def _string_end(text: str, quote: int) -> int:
    """Return the position after the string literal that begins at `quote`, or the end if it is not closed."""
    mark = text[quote]
    delimiter = mark * 3 if text.startswith(mark * 3, quote) else mark
    raw = _has_raw_prefix(text, quote)
    position = quote + len(delimiter)
    while position < len(text):
        if text[position] == "\\" and not raw:
            position += 2
        elif text.startswith(delimiter, position):
            return position + len(delimiter)
        else:
            position += 1
    return len(text)


def _has_raw_prefix(text: str, quote: int) -> bool:
    """Return whether `r`, `br` or `rb`, in upper or lower case, is right before the quote as a whole word."""
    start = quote
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    return text[start:quote].lower() in ("r", "br", "rb")


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
