"""Workflows written in Python: tasks as objects, dependencies by use, the same definition that YAML has.

    from workflow_sdk import Workflow, item

    orders = Workflow("orders", owner="payments")
    check = orders.task("check", "stock.check", input={"sku": orders.input.sku})
    ship = orders.task("ship", "parcels.ship", for_each=check.output.parcels, input={"parcel": item})
    orders.output = {"tracking": ship.output}

Building one needs no connection, and loads protobuf but not gRPC.
"""

from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.authoring.expressions import Expression
from workflow_sdk.authoring.functions import cel, execution, has, if_else, index, item
from workflow_sdk.authoring.policies import Defaults, RetryPolicy, Timeouts
from workflow_sdk.authoring.tasks import Task, TaskOptions
from workflow_sdk.authoring.workflow import Workflow

__all__ = [
    "Defaults",
    "Expression",
    "RetryPolicy",
    "Task",
    "TaskOptions",
    "Timeouts",
    "Workflow",
    "WorkflowDefinitionError",
    "cel",
    "execution",
    "has",
    "if_else",
    "index",
    "item",
]
