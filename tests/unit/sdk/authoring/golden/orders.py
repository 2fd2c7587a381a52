from datetime import timedelta

from workflow_sdk import Defaults, RetryPolicy, Timeouts, Workflow, index, item, task


@task("stock.check")
async def check_stock(order: dict[str, str]) -> dict[str, object]:
    return {"ok": True, "parcels": []}


workflow = orders = Workflow(
    "orders",
    description="Charges and ships.",
    owner="payments",
    labels={"team": "shop", "tier": "1"},
    input_schema={"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
    execution_timeout=timedelta(hours=1),
    defaults=Defaults(
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_attempts=3),
        timeouts=Timeouts(start_to_close=timedelta(minutes=2)),
        queue="shop",
    ),
)
check = orders.task("check", check_stock, input={"sku": orders.input.sku})
charge = orders.task(
    "charge",
    "orders.charge",
    input={"amount": orders.input.amount, "checked": check.output.ok},
    when=check.output.ok == True,  # noqa: E712 - it writes CEL
    retry_policy=RetryPolicy(maximum_attempts=5),
    timeouts=Timeouts(start_to_close=timedelta(minutes=1)),
)
ship = orders.task(
    "ship",
    "parcels.ship",
    for_each=check.output.parcels,
    max_parallel=5,
    input={"parcel": item, "n": index},
    after=[charge],
)
orders.output = {"receipt": charge.output.receipt, "parcels": ship.output}
