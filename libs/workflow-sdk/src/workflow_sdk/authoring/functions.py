"""The names that expressions can begin with, besides a workflow's input and tasks; CEL's special forms."""

from __future__ import annotations

from typing import Any

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.authoring.expressions import OR, PRIMARY, TERNARY, Expression, Owner, as_expression, split

execution = Expression("execution")
"""The execution: `execution.id`, `.namespace`, `.workflow_id`, `.version`, `.run_number`."""
item = Expression("item")
"""In a task with `for_each`: the item of this run."""
index = Expression("index")
"""In a task with `for_each`: the position of the item in the list, from 0."""


def cel(text: str) -> Expression:
    """Return an expression written in CEL, without `${}`: `cel(f"size({orders.input.lines}) > 0")`.

    Expressions in an f-string become parts of it. `tasks.<id>` and `tasks["<id>"]` use a task, even one that
    is added later. The name of a function can be called: `cel("double")(orders.input.price)`. Raises
    WorkflowDefinitionError if the text is empty or has `${}` around it.
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
    """Return the condition that an object has a field: `has(orders.input.coupon)`.

    Raises WorkflowDefinitionError if the argument is not a field, or if CEL does not accept its name.
    """
    if not field._ends_in_name(r"\."):
        raise WorkflowDefinitionError(
            f"has() takes a field, such as has(orders.input.coupon), not {field!r}; for other keys write"
            " cel(f'\"the key\" in {orders.input}')"
        )
    return cel("has")(field)


def if_else(condition: Any, then: Any, otherwise: Any) -> Expression:
    """Return CEL's `condition ? then : otherwise`, which evaluates only one of the two."""
    first, second, third = (as_expression(each) for each in (condition, then, otherwise))
    text = f"{first._operand(OR)} ? {second._operand(OR)} : {third._operand(TERNARY)}"
    return Expression(text, TERNARY, first._owners | second._owners | third._owners)
