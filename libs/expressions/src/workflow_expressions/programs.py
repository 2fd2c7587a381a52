"""Programs of the CEL library, and what they give or fail with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from workflow_expressions import messages
from workflow_expressions.errors import BudgetExceededError, EvaluationError

EXTENSIONS: Final = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]
"""What expressions have besides CEL's own functions."""


def run(program: Any, data: Mapping[str, Any]) -> Any:
    """The value of a program on these variables, as Python has it. Raises EvaluationError."""
    try:
        result = program.eval(data=data)
        if result.type() != cel.Type.ERROR:
            return result.plain_value()
        problem = str(result.value())
    except (TypeError, SystemError):
        raise EvaluationError("an optional is no value: give it a default with `.orValue(...)`") from None
    except RuntimeError as error:
        problem = str(error)
    kind = BudgetExceededError if messages.BUDGET_SIGN in problem else EvaluationError
    raise kind(messages.evaluation_problem(problem))
