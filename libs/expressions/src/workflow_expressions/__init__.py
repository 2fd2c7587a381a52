"""Templates and conditions of workflow definitions: JSON with CEL in `${...}`.

The package is pure: it does no I/O and reads no clock. The catalog calls `check_template` and
`check_condition` at publish. The orchestrator calls `compile_template` and `compile_condition`, and then
`evaluate`, at run time.
"""

from workflow_expressions.budget import Budget
from workflow_expressions.conditions import Condition, compile_condition
from workflow_expressions.errors import (
    BudgetExceededError,
    EvaluationError,
    ExpressionError,
    ExpressionLimitError,
    ExpressionSyntaxError,
    ExpressionWarning,
    PathSegment,
    UnknownNameError,
    WorkLimitError,
    format_path,
)
from workflow_expressions.scope import EXECUTION_FIELDS, Names, Scope
from workflow_expressions.suggestions import nearest
from workflow_expressions.template_check import check_condition, check_template
from workflow_expressions.templates import Template, compile_template
from workflow_expressions.type_check import Types
from workflow_expressions.type_fit import Checked
from workflow_expressions.types import (
    ANY,
    EnumType,
    Kind,
    ListType,
    MaybeNull,
    Member,
    ObjectType,
    Presence,
    ValueType,
    of_kind,
)
from workflow_expressions.values import JsonValue

__all__ = [
    "ANY",
    "EXECUTION_FIELDS",
    "Budget",
    "BudgetExceededError",
    "Checked",
    "Condition",
    "EnumType",
    "EvaluationError",
    "ExpressionError",
    "ExpressionLimitError",
    "ExpressionSyntaxError",
    "ExpressionWarning",
    "JsonValue",
    "Kind",
    "ListType",
    "MaybeNull",
    "Member",
    "Names",
    "ObjectType",
    "PathSegment",
    "Presence",
    "Scope",
    "Template",
    "Types",
    "UnknownNameError",
    "ValueType",
    "WorkLimitError",
    "check_condition",
    "check_template",
    "compile_condition",
    "compile_template",
    "format_path",
    "nearest",
    "of_kind",
]
