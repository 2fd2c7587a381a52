"""Workflows written in Python: a task is an object, and a task that uses another one runs after it.

    from workflow_sdk import Workflow, item

    orders = Workflow("orders", owner="payments")
    check = orders.task("check", "stock.check", input={"sku": orders.input.sku})
    ship = orders.task("ship", "parcels.ship", for_each=check.output.parcels, input={"parcel": item})
    orders.output = {"tracking": ship.output}

The result is the definition that a YAML file has. Building it needs no connection, and does not load gRPC.
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
