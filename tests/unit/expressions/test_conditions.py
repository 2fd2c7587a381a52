"""Conditions: expressions that must be true or false."""

from __future__ import annotations

import pytest
from workflow_expressions import EvaluationError, ExpressionSyntaxError, Names, Scope, compile_condition

SCOPE = Scope(tasks={"fetch"})


@pytest.mark.parametrize(("amount", "expected"), [(101, True), (100, False), (100.5, True), (99.5, False)])
def test_whole_numbers_and_decimals_compare(amount: float, expected: bool) -> None:
    condition = compile_condition("${input.amount > 100}", scope=SCOPE)
    assert condition.evaluate({"input": {"amount": amount}}) is expected


def test_blanks_around_a_condition_do_not_matter() -> None:
    assert compile_condition(" ${true}\n", scope=SCOPE).evaluate({}) is True


def test_names_of_a_condition() -> None:
    assert compile_condition("${tasks.fetch.status == 'FAILED'}", scope=SCOPE).names == Names(
        statuses=frozenset({"fetch"})
    )


@pytest.mark.parametrize("text", ["", "true", "x ${true}", "${true}${true}", "$${true}"])
def test_a_condition_is_one_expression(text: str) -> None:
    with pytest.raises(ExpressionSyntaxError, match="a condition is one"):
        compile_condition(text, scope=SCOPE)


def test_a_condition_that_cannot_be_a_bool_is_refused_at_publish() -> None:
    with pytest.raises(ExpressionSyntaxError, match="this gives int"):
        compile_condition("${1 + 1}", scope=SCOPE)


@pytest.mark.parametrize(("value", "kind"), [(1, "int"), (None, "null"), ("true", "str")])
def test_a_condition_that_turns_out_not_to_be_a_bool_fails(value: object, kind: str) -> None:
    with pytest.raises(EvaluationError, match=f"this gave {kind}"):
        compile_condition("${input.flag}", scope=SCOPE).evaluate({"input": {"flag": value}})
