"""The budget: a hostile expression ends soon, with an error that says so."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from workflow_expressions import BudgetExceededError, EvaluationError, Scope, compile_template

TEXT = "a" * 1_000_000
NUMBERS = list(range(150_000))
BOUND_SECONDS = 3.0
"""Far above what is measured (under 0.5 s), far below what these take without a budget (minutes)."""

HOSTILE = {
    "doubling a list": ("input" + ".map(a, [a, a])" * 30, [1]),
    "comparing what was doubled": (
        "input" + ".map(a, [a, a])" * 25 + " == input" + ".map(a, [a, a])" * 25,
        [1],
    ),
    "doubling a text": ("[input]" + ".map(a, a + a)" * 28, TEXT),
    "adding a text to itself": (
        "input + input + input + input + input + input + input + input + input",
        TEXT * 4,
    ),
    "searching a list in a loop": ("input.all(x, !(-1 in input))", NUMBERS[:9_999]),
    "comparing in a loop": ("input.all(x, input == input)", NUMBERS[:9_999]),
    "a long list": ("input.map(x, x).map(x, x).map(x, x)", NUMBERS),
    "loops in loops": (
        "input.all(a, input.all(b, input.all(c, input.all(d, a + b + c + d >= 0))))",
        NUMBERS[:100],
    ),
    "replacing letters by texts": ("input.replace('a', input)", TEXT),
    "joining with a text": ("['a', 'b', 'c'].map(x, input.split('').join(input)).size()", TEXT[:50_000]),
    "a whole value for each element": ("input.map(x, input)", [["x" * 1000]] * 5_000),
    "one heavy element": ("input.all(x, x.all(y, y in x))", [NUMBERS[:9_000], *[[]] * 900]),
    "regular expressions in a loop": (
        "input.items.all(x, input.text.matches('(a*)*b'))",
        {"items": NUMBERS[:9_000], "text": TEXT},
    ),
    "optionals": ("[optional.of(input)]" + ".map(a, [a.value(), a.value()])", TEXT),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_ends_in_bounded_time(name: str) -> None:
    text, value = HOSTILE[name]
    template = compile_template(f"${{{text}}}", scope=Scope())
    started = time.perf_counter()
    with contextlib.suppress(EvaluationError):
        template.evaluate({"input": value})

    assert time.perf_counter() - started < BOUND_SECONDS


@pytest.mark.parametrize("name", ["comparing what was doubled", "doubling a text", "comparing in a loop"])
def test_what_is_over_the_budget_says_so(name: str) -> None:
    text, value = HOSTILE[name]
    with pytest.raises(BudgetExceededError, match=r"could (take too long|be too large)|has more than"):
        compile_template(f"${{{text}}}", scope=Scope()).evaluate({"input": value})


ITEMS = [
    {"id": number, "name": f"item {number}", "tags": ["a", "b"], "lines": number} for number in range(1_000)
]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("input.items.map(x, x.id)", 1_000),
        ("input.items.filter(x, x.lines > 500).map(x, {'id': x.id, 'name': x.name + '!'})", 499),
        ("input.items.filter(x, 'a' in x.tags)", 1_000),
        ("input.items.map(x, {'id': x.id, 'settings': input.settings})", 1_000),
        ("input.items.map(x, x.name.replace(' ', '-'))", 1_000),
        ("[input.items.map(x, x.name).join(', ')]", 1),
        ("input.items.filter(x, x.tags.exists(t, t == 'b'))", 1_000),
    ],
)
def test_ordinary_work_on_a_thousand_items_is_within_the_budget(text: str, length: int) -> None:
    bindings: dict[str, Any] = {"input": {"items": ITEMS, "settings": {"mode": "x" * 200}}}
    value = compile_template(f"${{{text}}}", scope=Scope()).evaluate(bindings)

    assert isinstance(value, list)
    assert len(value) == length
