"""Whatever an author writes as a value arrives as that value, and whatever key he asks for is read."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from workflow_contract.payloads import may_be_rounded
from workflow_expressions import Scope, compile_condition, compile_template
from workflow_sdk import Workflow
from workflow_sdk.values import from_value

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
TRICKY = st.lists(st.sampled_from(["$", "${", "}", "{", '"', "'", "\\", "//", "\n", "tasks.a", "x"])).map(
    "".join
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False).map(
    lambda number: number * 1e10 if may_be_rounded(number) else number
)
TEXTS = TEXT | TRICKY
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
SCOPE = Scope(tasks=frozenset({"read"}))


def evaluated(value: Any, **bindings: Any) -> Any:
    """What a task that has this input gets."""
    orders = Workflow("orders")
    orders.task("read", "noop")
    orders.task("use", "noop", input=value)
    return evaluated_in(orders, **bindings)


def evaluated_in(orders: Workflow, **bindings: Any) -> Any:
    template = from_value(orders.definition.tasks[-1].input)
    return compile_template(template, scope=SCOPE).evaluate(bindings)


@settings(deadline=None)
@given(VALUES)
@example("${input}")
@example("$${input}")
@example("$$${")
def test_a_literal_arrives_as_it_was_written(value: Any) -> None:
    assert evaluated(value) == value


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
@example("$", "", "$$", "{")
@example("costs $", "${", "$", "}")
def test_a_text_around_expressions_arrives_as_it_was_written(a: str, b: str, c: str, value: str) -> None:
    orders = Workflow("orders")
    x = orders.input.x
    orders.task("use", "noop", input=_joined(a, x, b, x, c))

    assert evaluated_in(orders, input={"x": value}) == a + value + b + value + c


@settings(deadline=None)
@given(TEXTS, VALUES)
@example("in", 1)
@example("a-b", {})
@example('"]', None)
def test_every_key_can_be_read(key: str, value: Any) -> None:
    orders = Workflow("orders")
    read = orders.task("read", "noop")
    orders.task("use", "noop", input=read.output[key])
    bindings = {"tasks": {"read": {"output": {key: value}, "status": "SUCCEEDED"}}}

    assert evaluated_in(orders, **bindings) == value


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 3))
def test_keys_can_be_read_within_keys(key: str, inner: str, place: int) -> None:
    orders = Workflow("orders")
    orders.task("use", "noop", input={"found": orders.input[key][place][inner]})
    values = {key: [{inner: number} for number in range(4)]}

    assert evaluated_in(orders, input=values) == {"found": place}


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_a_literal_in_an_expression_is_that_value(value: Any) -> None:
    orders = Workflow("orders")
    orders.task("use", "noop", when=orders.input == {"value": value})
    condition = compile_condition(orders.definition.tasks[0].when, scope=SCOPE)
    as_sent = json.loads(json.dumps({"value": value}))

    assert condition.evaluate({"input": as_sent}) is True
    assert condition.evaluate({"input": {"value": [value]}}) is False


def _joined(*parts: Any) -> str:
    return "".join(f"{part}" for part in parts)
