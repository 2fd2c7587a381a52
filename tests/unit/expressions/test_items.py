"""Fan-outs: a template for many items gives what it gives for each item alone, at the cost of one."""

from __future__ import annotations

from typing import Any

import pytest
from workflow_expressions import (
    Budget,
    ExpressionError,
    JsonValue,
    Scope,
    Template,
    WorkLimitError,
    compile_template,
)

SCOPE = Scope(tasks=None, in_fan_out=True)
CUSTOMERS = [{"id": number, "name": f"c{number}", "tags": ["a", "b"][: number % 3]} for number in range(40)]
BINDINGS: dict[str, Any] = {
    "input": {
        "items": CUSTOMERS,
        "prices": {"c1": 1.5, "c2": 2},
        "words": ["x", "y"],
        "since": "2030-01-01T00:00:00Z",
        "none": None,
        "big": 2**62,
    },
    "execution": {"id": "e1"},
    "tasks": {"fetch": {"output": [3, 1, 2], "status": "SUCCEEDED"}},
}
ITEMS: list[JsonValue] = [
    {"ok": True, "name": "c1", "n": 3, "list": [1, 2, 3]},
    {"ok": False, "name": "c9", "n": -1, "list": []},
    {"name": "c2"},
    "text",
    None,
    7,
    2**70,
    "nul \0 and more",
]
EXPRESSIONS = [
    "item",
    "item.name",
    "index",
    "index + 1",
    "size(input.items)",
    "size(input.items) + index",
    "input.items[index].name",
    "input.prices[item.name]",
    "item.name in input.prices ? input.prices[item.name] : 0.0",
    "has(item.ok) && item.ok",
    "item.ok || input.missing.x",
    "item.ok && input.missing.x > 1",
    "item.ok ? 1 : size(input.missing)",
    "item.ok || size(input.none) > 1",
    "input.items.filter(x, x.id > 20).map(x, x.name).join(',') + string(index)",
    "input.items.filter(x, x.name == item.name)",
    "input.items.filter(x, x.id > size(tasks.fetch.output) + index).size()",
    "item.list.map(x, x * size(input.words))",
    "item.list.map(item, item + 1)",
    "item.list.map(index, index + size(input.words.filter(w, w != 'x')))",
    "input.words.map(w, item.name + w)",
    "input.words.map(item, .item.name + item)",
    "{'of': [size(input.items), item.n, input.items.filter(x, x.id % 2 == 1).size()]}",
    "{1: size(input.words)}[1] + index",
    "{size(input.words): 'two'}[2] + string(index)",
    "timestamp(input.since) + duration(string(index) + 's')",
    "input.?missing.orValue(index)",
    "item.?n.orValue(size(input.words))",
    "input.big + input.big + index",
    "tasks.fetch.status == 'SUCCEEDED' ? execution.id + string(index) : ''",
    "tasks.fetch.output.exists(x, x == item.n)",
    "1 / index",
    "double(size(input.words)) / 0.0 * double(index)",
]


def value_or_problem(template: Template, bindings: Any) -> Any:
    try:
        return template.evaluate(bindings)
    except ExpressionError as error:
        return str(error)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_each_item_gets_what_the_expression_gives_for_it_alone(text: str) -> None:
    for value in (f"${{{text}}}", {"a": f"${{{text}}}", "b": [f"it is ${{{text}}}"]}):
        template = compile_template(value, scope=SCOPE)
        for_item = template.for_items(BINDINGS)
        for index, item in enumerate(ITEMS):
            alone = value_or_problem(template, BINDINGS | {"item": item, "index": index})
            try:
                given: Any = for_item(item, index)
            except ExpressionError as error:
                given = str(error)
            assert given == alone, f"{text} of {item!r}"


def customers(number: int) -> list[JsonValue]:
    return [{"id": n, "name": f"customer {n}", "mail": f"c{n}@example.com"} for n in range(number)]


@pytest.mark.parametrize(
    "text",
    [
        "size(input.items) + item.id",
        "input.items[index].name + input.items[index].mail",
        "input.items.map(x, x.id).filter(id, id % 2 == 0).size() + item.id",
        "input.items.all(x, has(x.id)) ? item.id : 0",
    ],
)
def test_the_work_grows_with_the_items_and_not_with_items_times_input(text: str) -> None:
    """Ten times the items are ten times the work; times the input, it would be a hundred times."""
    template = compile_template({"n": f"${{{text}}}"}, scope=SCOPE)
    for number, steps in ((200, 4_000_000), (2_000, 40_000_000)):
        items = customers(number)
        for_item = template.for_items({"input": {"items": items}}, Budget(steps))
        assert [for_item(item, index) for index, item in enumerate(items)]


def test_items_that_are_compared_with_each_other_end_at_the_budget() -> None:
    items = customers(2_000)
    template = compile_template("${input.items.filter(x, x.id > item.id).size()}", scope=SCOPE)
    for_item = template.for_items({"input": {"items": items}}, Budget(20_000_000))

    with pytest.raises(WorkLimitError, match="compute what they need in one task before"):
        for index, item in enumerate(items):
            for_item(item, index)


def test_all_expressions_of_a_template_share_one_budget() -> None:
    loop = "${input.items.filter(x, x.id > 5).size()}"
    one, many = (compile_template([loop] * number, scope=SCOPE) for number in (1, 50))
    bindings = {"input": {"items": customers(100)}}
    one.evaluate(bindings, Budget(500_000))

    with pytest.raises(WorkLimitError) as caught:
        many.evaluate(bindings, Budget(500_000))
    assert caught.value.path
