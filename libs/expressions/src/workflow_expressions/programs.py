"""Run programs of the CEL library, and translate their results and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from workflow_expressions import messages
from workflow_expressions.errors import BudgetExceededError, EvaluationError

EXTENSIONS: Final = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]
"""Extensions that expressions can use in addition to CEL's standard functions."""

_OBJECT: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)

VARIABLES: Final = {
    "input": cel.Type.DYN,
    "execution": _OBJECT,
    "item": cel.Type.DYN,
    "index": cel.Type.INT,
    "tasks": cel.Type.Map(cel.Type.STRING, _OBJECT),
}
"""The names that an expression can begin with, and their types."""


def run(program: Any, data: Mapping[str, Any]) -> Any:
    """Run a program on these variables and return a Python value. Raise EvaluationError if it fails."""
    return taken(lambda: program.eval(data=data))


def taken(evaluate: Callable[[], Any]) -> Any:
    """Return the result of the library's evaluation as a Python value. Raise EvaluationError if it fails."""
    try:
        result = evaluate()
        if result.type() != cel.Type.ERROR:
            return result.plain_value()
        problem = str(result.value())
    except (TypeError, SystemError):
        raise EvaluationError("an optional is not a value: give it a default with `.orValue(...)`") from None
    except RuntimeError as error:
        problem = str(error)
    kind = BudgetExceededError if messages.BUDGET_SIGN in problem else EvaluationError
    raise kind(messages.evaluation_problem(problem))
