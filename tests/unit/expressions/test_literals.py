"""Texts in an expression that a function can never take."""

import pytest
from workflow_expressions import ExpressionWarning, Scope, check_template


def found(text: str) -> list[tuple[str, str]]:
    problems = check_template(text, scope=Scope()).problems
    words = {True: "warning", False: "error"}
    return [(words[isinstance(each, ExpressionWarning)], each.message) for each in problems]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${input.name.matches('(')}", "`matches` cannot take '(', invalid regular expression: missing ): ("),
        ("${input.name.matches('(?=a)b')}", "without look-around"),
        ("${matches(input.name, '((a{1000}){1000}){1000}')}", "invalid repetition size"),
        ("${input.free > duration('5 minutes')}", "write it as `90s` or `1h30m`"),
        ("${input.free == timestamp('2030-01-31')}", "write it as `2030-01-31T12:00:00Z`"),
        ("${int('x') + input.amount}", "`int` cannot take 'x'"),
        ("${double('1,5') > 1.0}", "`double` cannot take '1,5'"),
    ],
)
def test_a_text_that_a_function_never_takes_is_an_error(text: str, message: str) -> None:
    ((kind, said),) = found(text)

    assert kind == "error"
    assert message in said


@pytest.mark.parametrize(
    "text",
    [
        "${input.name.matches('^[a-z]+$')}",
        "${input.free.matches(input.name)}",
        "${timestamp('2030-01-31T12:00:00Z') + duration('1h30m') > timestamp(input.name)}",
        "${int('7') + input.amount}",
        "${double('1.5') + double(input.name)}",
    ],
)
def test_a_text_that_a_function_takes_is_fine(text: str) -> None:
    assert found(text) == []
