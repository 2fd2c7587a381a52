"""The JSON values that the system accepts, and the phrases with which it refuses all others."""

from workflow_values import words
from workflow_values.check import (
    MAX_DEPTH,
    LongNumber,
    Rules,
    TwiceObject,
    ValueProblem,
    find_problem,
    is_deeper,
    is_plain,
    problem_of_double,
)
from workflow_values.numbers import EXPONENT_FROM, MAX_WHOLE, as_whole, is_exact, may_be_rounded, shown
from workflow_values.text import ValueProblemError, parse, parse_leniently

__all__ = [
    "EXPONENT_FROM",
    "MAX_DEPTH",
    "MAX_WHOLE",
    "LongNumber",
    "Rules",
    "TwiceObject",
    "ValueProblem",
    "ValueProblemError",
    "as_whole",
    "find_problem",
    "is_deeper",
    "is_exact",
    "is_plain",
    "may_be_rounded",
    "parse",
    "parse_leniently",
    "problem_of_double",
    "shown",
    "words",
]
