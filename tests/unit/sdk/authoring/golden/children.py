from datetime import timedelta

from workflow_sdk import Timeouts, Workflow, item

refunds = Workflow("refunds")

workflow = Workflow("children")
charge = workflow.task("charge", "orders.charge")
refund = workflow.child(
    "refund",
    workflow_id="refunds",
    input={"receipt": charge.output.receipt},
    when=charge.status == "SUCCEEDED",
    timeouts=Timeouts(start_to_close=timedelta(days=1), heartbeat=timedelta(seconds=90)),
)
pinned = workflow.child("pinned", "refunds", 3, after=refund)
each = workflow.child("each", refunds, for_each=workflow.input.orders, max_parallel=10, input={"order": item})
workflow.output = [refund.output, pinned.output, each.output]
