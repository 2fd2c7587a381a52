"""Find literals that the function around them can never accept, such as `duration("5 minutes")`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from workflow_expressions import programs
from workflow_expressions.engine import Expression
from workflow_expressions.errors import EvaluationError, ExpressionError, ExpressionSyntaxError
from workflow_expressions.limits import MAX_CACHED_EXPRESSIONS
from workflow_expressions.syntax import Call, Literal

_ENVIRONMENT: Final = cel.NewEnv(variables={"text": cel.Type.STRING})
_TRIALS: Final[dict[str, Any]] = {
    function: _ENVIRONMENT.compile(trial)
    for function, trial in (
        ("matches", "''.matches(text)"),
        ("duration", "duration(text)"),
        ("timestamp", "timestamp(text)"),
        ("int", "int(text)"),
        ("double", "double(text)"),
    )
}
"""For each function, a program that fails if the function does not accept the string."""

_FORMS: Final = {
    "matches": "write an RE2 regular expression such as `^[a-z]+$`, without look-around and back-references",
    "duration": "write it as `90s` or `1h30m`",
    "timestamp": "write it as `2030-01-31T12:00:00Z`",
    "int": "write a whole number",
    "double": "write a number",
}


def literal_problems(expression: Expression) -> Iterator[ExpressionError]:
    """Yield an error for each call that fails on its literal string, whatever the other values are."""
    for node in expression.syntax.nodes:
        if not isinstance(node, Call) or node.function not in _TRIALS:
            continue
        text = node.arguments[-1]
        if isinstance(text, Literal) and isinstance(text.value, str):
            problem = _problem(node.function, text.value)
            if problem:
                sentence = f"`{node.function}` cannot take {text.value!r}, {problem}: {_FORMS[node.function]}"
                yield ExpressionSyntaxError(sentence, expression=expression.text)


@lru_cache(maxsize=MAX_CACHED_EXPRESSIONS)
def _problem(function: str, text: str) -> str:
    """Return why the function fails on this string, or "" if it does not fail."""
    try:
        programs.run(_TRIALS[function], {"text": text})
    except EvaluationError as error:
        return error.message.removesuffix(": check the values it works on")
    return ""
