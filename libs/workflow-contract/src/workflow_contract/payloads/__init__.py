"""The JSON values that the system accepts, and the phrases with which it refuses all others."""

from workflow_contract.payloads import words
from workflow_contract.payloads.check import (
    LongNumber,
    Rules,
    TwiceObject,
    ValueProblem,
    find_problem,
    is_deeper,
    is_plain,
    problem_of_double,
)
from workflow_contract.payloads.numbers import (
    EXPONENT_FROM,
    MAX_WHOLE,
    as_whole,
    is_exact,
    may_be_rounded,
    shown,
    with_integers,
)
from workflow_contract.payloads.text import ValueProblemError, parse, parse_leniently

__all__ = [
    "EXPONENT_FROM",
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
    "with_integers",
    "words",
]
