"""What expressions begin with, beside the input of a workflow and its tasks, and CEL's special forms."""

from __future__ import annotations

from typing import Any

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.authoring.expressions import OR, PRIMARY, TERNARY, Expression, Owner, as_expression, split

execution = Expression("execution")
"""The execution: `execution.id`, `.namespace`, `.workflow_id`, `.version`, `.run_number`."""
item = Expression("item")
"""In a task with `for_each`: the item of the run."""
index = Expression("index")
"""In a task with `for_each`: the item's place in the list, from 0."""


def cel(text: str) -> Expression:
    """An expression in CEL's own words, without `${}`: `cel(f"size({orders.input.lines}) > 0")`.

    Expressions in an f-string become parts of it. Tasks are found by `tasks.<id>` and `tasks["<id>"]`; they
    may come later in the file. The name of a function may be called: `cel("double")(orders.input.price)`.
    Raises WorkflowDefinitionError for no text, and for one in `${}`.
    """
    parts, owners = [], frozenset[Owner]()
    for part in split(text):
        if isinstance(part, Expression):
            owners |= part._owners
        parts.append(part._operand(PRIMARY) if isinstance(part, Expression) else part)
    joined = "".join(parts).strip()
    if not joined or joined.startswith("${"):
        raise WorkflowDefinitionError(
            f"cel({joined!r}) is no expression: write CEL without `${{}}` around it"
        )
    if cel_text.ends_in_comment(joined):
        joined += "\n"
    return Expression(joined, PRIMARY if cel_text.is_path(joined) else TERNARY, owners)


def has(field: Expression) -> Expression:
    """Whether an object has a field: `has(orders.input.coupon)`.

    Raises WorkflowDefinitionError for what is no field of a CEL name.
    """
    if not field._ends_in_name(r"\."):
        raise WorkflowDefinitionError(
            f"has() takes a field, such as has(orders.input.coupon), not {field!r}; for other keys write"
            " cel(f'\"the key\" in {orders.input}')"
        )
    return cel("has")(field)


def if_else(condition: Any, then: Any, otherwise: Any) -> Expression:
    """CEL's `condition ? then : otherwise`; only the one that is chosen is evaluated."""
    first, second, third = (as_expression(each) for each in (condition, then, otherwise))
    text = f"{first._operand(OR)} ? {second._operand(OR)} : {third._operand(TERNARY)}"
    return Expression(text, TERNARY, first._owners | second._owners | third._owners)
