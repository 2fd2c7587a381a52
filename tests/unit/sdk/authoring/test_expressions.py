import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
from workflow_sdk import Workflow, WorkflowDefinitionError, cel, execution, has, if_else, index, item

orders = Workflow("orders")
given = orders.input
check = orders.task("check", "stock.check")


def test_an_expression_shows_what_it_will_be() -> None:
    assert repr(given.amount + 1) == "<${input.amount + 1}>"
    assert repr(check) == "<task 'check' of workflow 'orders'>"


def test_the_same_expression_can_be_used_on_and_on() -> None:
    amount = given.amount

    assert [repr(amount + 1), repr(amount - 1)] == ["<${input.amount + 1}>", "<${input.amount - 1}>"]
    assert repr(copy.deepcopy(amount)) == repr(amount)


@pytest.mark.parametrize(
    "use",
    [
        lambda: bool(given.ok),
        lambda: given.ok and check.output.ok,
        lambda: given.ok or check.output.ok,
        lambda: not given.ok,
        lambda: 1 < given.amount < 5,
        lambda: 1 if given.ok else 2,
        lambda: given.a in ["a", "b"],
    ],
)
def test_an_expression_has_no_truth_value(use: Callable[[], Any]) -> None:
    with pytest.raises(WorkflowDefinitionError, match=r"join conditions with `&` and `\|`, negate them"):
        use()


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda: "a" in given.names, r"write cel\("),
        (lambda: list(given.names), "use `for_each`"),
        (lambda: f"{given.amount:>10}", "can't be formatted with '>10'"),
        (lambda: given.a == 1 & given.b, "put comparisons in parentheses"),
        (lambda: given.a & 1, "put comparisons in parentheses"),
        (lambda: given.a | "b", "put comparisons in parentheses"),
        (lambda: given[-1], r"no member \[-1\]"),
        (lambda: given[True], "no member"),
        (lambda: given["a":"b"], "no member"),  # type: ignore[misc]
        (lambda: given[f"{given.a}"], r"join them with `\+`"),
        (lambda: given.a == f"a{given.b}", r"join them with `\+`"),
        (lambda: given["a\x00b"], "NUL character"),
        (lambda: given.a == "\ud800", "surrogate"),
        (lambda: given.a + object(), "can't stand in an expression"),
        (lambda: given.a + check, "such as a task's `.output`"),
        (lambda: given.a == {1: 2}, "keys are texts"),
        (lambda: given.a > math.nan, "JSON does not have it"),
        (lambda: given.a > 2**63, "64 bits"),
        (lambda: given["a b"](), "is no function"),
        (lambda: (given.a + given.b)(), "is no function"),
        (lambda: given.a.exists(lambda item: item), "rename it"),
        (lambda: given.a.exists(lambda loop: loop), "rename it"),
        (lambda: given.a.exists(lambda größe: größe), "rename it"),
        (lambda: given.a.map(lambda x: x, lambda y: y), "the same variables"),
        (lambda: has(given["a b"]), "takes a field"),
        (lambda: has(given), "takes a field"),
        (lambda: has(given.a == given.b), "takes a field"),
        (lambda: cel("  "), "no expression"),
        (lambda: cel("${input.a}"), "without `"),
    ],
)
def test_what_cel_does_not_have_is_refused_where_it_is_written(use: Callable[[], Any], says: str) -> None:
    with pytest.raises(WorkflowDefinitionError, match=says):
        use()


def test_an_expression_cannot_be_changed_or_be_a_key() -> None:
    with pytest.raises(AttributeError):
        given.amount = 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(given.amount)
    with pytest.raises(AttributeError, match=r"write \['_id'\] for that key"):
        _ = given._id


def test_words_of_cel_are_no_names_in_it() -> None:
    words = (
        "as break const continue else false for function if import in let loop package namespace null return"
    )
    for word in [*words.split(), "true", "var", "void", "while"]:
        assert repr(given[word]) == f'<${{input["{word}"]}}>'
        assert repr(given[word + "s"]) == f"<${{input.{word}s}}>"


def test_the_largest_numbers_of_cel_are_written() -> None:
    assert repr(given.a > -(2**63)) == "<${input.a > -9223372036854775808}>"
    assert repr(given.a < 2**63 - 1) == "<${input.a < 9223372036854775807}>"


def test_what_follows_a_comment_is_no_part_of_it() -> None:
    assert repr(cel("input.a // why") + 1) == "<${(input.a // why\n) + 1}>"
    assert repr(cel("input.a // why\n+ 1")) == "<${input.a // why\n+ 1}>"


def test_every_operator_writes_its_own() -> None:
    a, b = given.a, given.b
    written = [a == b, a != b, a < b, a <= b, a > b, a >= b, a + b, a - b, a * b, a / b, a % b, a & b, a | b]
    signs = ["==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||"]

    assert [repr(each) for each in written] == [f"<${{input.a {sign} input.b}}>" for sign in signs]


def test_every_operator_works_with_a_value_on_its_left() -> None:
    written = [7 + given.a, 7 - given.a, 7 * given.a, 7 / given.a, 7 % given.a]

    assert [repr(each) for each in written] == [f"<${{7 {sign} input.a}}>" for sign in "+-*/%"]
    assert repr(True & given.a) == "<${true && input.a}>"
    assert repr(False | given.a) == "<${false || input.a}>"


def test_what_binds_less_gets_parentheses() -> None:
    a, b = given.a, given.b
    assert repr(a - (b - 1)) == "<${input.a - (input.b - 1)}>"
    assert repr((a - b) - 1) == "<${input.a - input.b - 1}>"
    assert repr((a | b) & a) == "<${(input.a || input.b) && input.a}>"
    negative = -a

    assert repr(-negative) == "<${-(-input.a)}>"
    assert repr((-a).b) == "<${(-input.a).b}>"
    assert repr((a + b)[0]) == "<${(input.a + input.b)[0]}>"
    assert repr((a == b) == (b != a)) == "<${(input.a == input.b) == (input.b != input.a)}>"
    assert repr(if_else(a, 1, 2) == 1) == "<${(input.a ? 1 : 2) == 1}>"
    assert repr(if_else(a, if_else(b, 1, 2), 3)) == "<${input.a ? (input.b ? 1 : 2) : 3}>"
    assert repr(cel(f"{a + b} * 2")) == "<${(input.a + input.b) * 2}>"
    assert repr(a[if_else(a, 1, 2)]) == "<${input.a[input.a ? 1 : 2]}>"


def test_the_words_of_a_run_are_there() -> None:
    assert [repr(each) for each in (execution.id, item.sku, index + 1)] == [
        "<${execution.id}>",
        "<${item.sku}>",
        "<${index + 1}>",
    ]
