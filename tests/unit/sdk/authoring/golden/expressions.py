from workflow_sdk import Workflow, cel, execution, has, if_else

workflow = Workflow("expressions")
given = workflow.input
sizes = workflow.task("sizes", "sizes.measure")
workflow.task(
    "arithmetic",
    "noop",
    input=[
        given.a + given.b * 2,
        (given.a + given.b) * 2,
        2 * (given.a - (given.b - 1)),
        10 - given.a / 3 % 2,
        -(given.a + 1),
        given.a * -1.5,
        "no " + given.name,
    ],
)
workflow.task(
    "comparisons",
    "noop",
    input={
        "less": 1 < given.a,  # noqa: SIM300 - the way round that is to be written
        "range": (given.a >= 1) & (given.a <= 5),
        "either": (given.a != 1) | (given.b == "x") & ~given.c,
        "not": ~((given.a > 1) | given.b),
        "equal": (given.a == None) == (given.b == False),  # noqa: E711, E712 - it writes CEL
        "member": given.colours == ["red", {"of": given.kind}],
    },
)
workflow.task(
    "functions",
    "noop",
    input={
        "size": given.lines.size() > 0,
        "double": cel("double")(given.price) * 1.5,
        "prefix": given.name.startsWith("a") | given.name.matches(r"^\d+\"$"),
        "skus": given.lines.filter(lambda line: line.price > 10).map(lambda line: line.sku),
        "mapped": given.lines.map(lambda line: line.ok, lambda line: line.sku),
        "nested": given.orders.exists(lambda o: o.lines.all(lambda line: line.of == o.id)),
        "optional": if_else(has(given.coupon), given.coupon.code, "none"),
        "chain": if_else(given.a == 1, "one", if_else(given.a == 2, "two", "many")),
        "choice": if_else(if_else(given.a, given.b, given.c), 1, 2) + 3,
    },
)
workflow.task(
    "texts",
    "noop",
    when=(sizes.status == "SUCCEEDED") & (cel(f"size({sizes.output.items}) > 2") | given.force),
    input={
        "order": f"order {given.id} of {execution.id}",
        "alone": f"{given.id}",
        "inner": f"{sizes.output.a + 1}{given.b}",
        "dollars": f"it costs ${given.price}, or $$${given.price}",
        "literal": "a ${literal} $${text} $",
        "mixed": f"${{literal}} and {given.id}",
        "cel": cel("input.a in [1, 2]"),
        "grouped": cel("input.a ? 1 : 2") + 1,
        "comment": cel("input.a // why"),
    },
)
