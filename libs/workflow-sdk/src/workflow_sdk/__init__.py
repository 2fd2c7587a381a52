"""The Python SDK of WorkflowSystem: `Client` starts and watches executions, `@task` and `Worker` run tasks,
`Workflow` writes definitions.

Names are imported when they are first used: a process that only runs a handler never loads gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import NonRetryableError, TaskFailure
from workflow_sdk.task import task

if TYPE_CHECKING:
    from workflow_sdk.authoring.errors import WorkflowDefinitionError
    from workflow_sdk.authoring.functions import cel, execution, has, if_else, index, item
    from workflow_sdk.authoring.policies import Defaults, RetryPolicy, Timeouts
    from workflow_sdk.authoring.workflow import Workflow
    from workflow_sdk.client import Client
    from workflow_sdk.errors import WorkflowError
    from workflow_sdk.models import Event, Execution, ExecutionStatus, StartRequest
    from workflow_sdk.worker.runtime import Worker

__all__ = [
    "Client",
    "Defaults",
    "Event",
    "Execution",
    "ExecutionStatus",
    "NonRetryableError",
    "RetryPolicy",
    "StartRequest",
    "TaskContext",
    "TaskFailure",
    "Timeouts",
    "Worker",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowError",
    "cel",
    "execution",
    "has",
    "if_else",
    "index",
    "item",
    "task",
]

__version__ = "0.1.0"

_LAZY = {
    "Client": "workflow_sdk.client",
    "Defaults": "workflow_sdk.authoring.policies",
    "Event": "workflow_sdk.models",
    "Execution": "workflow_sdk.models",
    "ExecutionStatus": "workflow_sdk.models",
    "RetryPolicy": "workflow_sdk.authoring.policies",
    "StartRequest": "workflow_sdk.models",
    "Timeouts": "workflow_sdk.authoring.policies",
    "Worker": "workflow_sdk.worker.runtime",
    "Workflow": "workflow_sdk.authoring.workflow",
    "WorkflowDefinitionError": "workflow_sdk.authoring.errors",
    "WorkflowError": "workflow_sdk.errors",
    "cel": "workflow_sdk.authoring.functions",
    "execution": "workflow_sdk.authoring.functions",
    "has": "workflow_sdk.authoring.functions",
    "if_else": "workflow_sdk.authoring.functions",
    "index": "workflow_sdk.authoring.functions",
    "item": "workflow_sdk.authoring.functions",
}


def __dir__() -> list[str]:
    """Return also the names that are not imported yet, for completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
