"""Templates and conditions of workflow definitions: JSON with CEL in `${...}`.

Pure: no I/O and no clock. `compile_template` and `compile_condition` at publish, `evaluate` at run time.
"""

from workflow_expressions.conditions import Condition, compile_condition
from workflow_expressions.errors import (
    BudgetExceededError,
    EvaluationError,
    ExpressionError,
    ExpressionLimitError,
    ExpressionSyntaxError,
    PathSegment,
    UnknownNameError,
    format_path,
)
from workflow_expressions.scope import EXECUTION_FIELDS, Names, Scope
from workflow_expressions.templates import Template, compile_template, find_problems
from workflow_expressions.values import JsonValue

__all__ = [
    "EXECUTION_FIELDS",
    "BudgetExceededError",
    "Condition",
    "EvaluationError",
    "ExpressionError",
    "ExpressionLimitError",
    "ExpressionSyntaxError",
    "JsonValue",
    "Names",
    "PathSegment",
    "Scope",
    "Template",
    "UnknownNameError",
    "compile_condition",
    "compile_template",
    "find_problems",
    "format_path",
]
