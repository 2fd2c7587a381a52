"""Loops over long lists run in parts, and nobody can tell but by the time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from workflow_expressions import BudgetExceededError, EvaluationError, Scope, compile_template
from workflow_expressions.engine import compile_expression

EXPRESSIONS = [
    "input.items.map(x, x.n)",
    "input.items.filter(x, x.n % 2 == 0)",
    "input.items.map(x, x.n > 10, x.n * input.factor)",
    "input.items.filter(x, x.n > 5).map(x, {'n': x.n, 'f': input.factor})",
    "input.items.map(x, x.n).filter(n, n > 3).map(n, [n, n])",
    "size(input.items.filter(x, x.n > 7)) + size(input.items)",
    "{'all': input.items.map(x, x.n), 'some': [input.items.filter(x, x.n == 3), []]}",
    "input.items.map(x, string(x.n)).join(',')",
    "input.items.filter(x, x.n > 3)[0].n",
    "input.items.map(x, x.n) == input.items.map(y, y.n)",
    "input.items.map(x, input.items.filter(y, y.n == x.n).size())",
    "input.factor > 100 ? input.items.map(x, x.nope) : input.items.map(x, x.n)",
    "input.factor > 100 && input.items.map(x, x.nope).size() > 0",
    "input.items.filter(x, x.n > 3).exists(x, x.n == 4)",
    "(input.items + input.items).map(x, x.n)",
    "input.text.split(',').map(x, x + '!')",
    "input.items.map(x, uint(x.n)).map(u, u + 1u)",
    "input.items.map(x, x.?n).map(o, o.orValue(0))",
    "input.items.map(x, duration(string(x.n) + 's')).filter(d, d > duration('5s')).map(d, string(d))",
    "input.items[0].map(key, key)",
    "input.items.map(x, x.missing)",
    "input.items.map(x, x.n / (x.n - 40))",
    "input.factor.map(x, x)",
]


def outcome(text: str, bindings: dict[str, Any]) -> Any:
    try:
        return compile_template(f"${{{text}}}", scope=Scope()).evaluate(bindings)
    except EvaluationError as error:
        return error.message


def outcome_in_one_piece(text: str, bindings: dict[str, Any]) -> Any:
    """Return the outcome of the same expression, which has no plan for parts."""
    expression = replace(compile_expression(text, Scope()))
    expression.__dict__["_plan"] = None
    try:
        return expression.evaluate(bindings)
    except EvaluationError as error:
        return error.message


@pytest.mark.parametrize("length", [1, 64, 65, 95])
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_in_parts_or_whole_the_result_is_the_same(text: str, length: int) -> None:
    items = [{"n": number} for number in range(length)]
    bindings = {"input": {"items": items, "factor": 3, "text": "a,b," * length}}
    in_parts = outcome(text, bindings)
    whole = outcome_in_one_piece(text, bindings)

    assert in_parts == whole
    assert type(in_parts) is type(whole)


def test_ten_thousand_elements_are_mapped_in_a_fraction_of_a_second() -> None:
    """In one piece they would take five seconds: the library copies the list at every step."""
    items = [{"n": number, "name": f"item {number}"} for number in range(10_000)]
    template = compile_template("${input.map(x, {'id': x.n, 'label': x.name + '!'})}", scope=Scope())
    started = time.perf_counter()
    value = template.evaluate({"input": items})

    assert time.perf_counter() - started < 2
    assert value == [{"id": number, "label": f"item {number}!"} for number in range(10_000)]


def test_a_long_loop_within_a_loop_is_over_the_budget() -> None:
    """Only loops that are certain to run once are taken out; this one would copy 5,000 elements 100 times."""
    bindings = {"input": {"few": list(range(100)), "many": list(range(5_000))}}
    with pytest.raises(BudgetExceededError):
        compile_template("${input.few.map(f, input.many.map(m, m))}", scope=Scope()).evaluate(bindings)


def test_a_long_loop_that_may_not_run_is_over_the_budget() -> None:
    """It stays where it is, and would copy 9,000 elements at every step."""
    with pytest.raises(BudgetExceededError):
        compile_template("${input[0] == 0 ? input.map(x, x) : []}", scope=Scope()).evaluate(
            {"input": list(range(9_000))}
        )


def test_a_question_about_more_elements_than_the_library_looks_at_says_so() -> None:
    with pytest.raises(BudgetExceededError, match="over 10,000 loop steps"):
        compile_template("${input.all(x, x >= 0)}", scope=Scope()).evaluate({"input": list(range(10_001))})
