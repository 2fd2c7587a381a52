"""The Python SDK of WorkflowSystem: `Client` starts and watches executions, `@task` and `Worker` run tasks.

Names are imported when they are first used: a process that only runs a handler never loads gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import NonRetryableError, TaskFailure
from workflow_sdk.task import task

if TYPE_CHECKING:
    from workflow_sdk.client import Client
    from workflow_sdk.errors import WorkflowError
    from workflow_sdk.models import Event, Execution, ExecutionStatus, StartRequest
    from workflow_sdk.worker.runtime import Worker

__all__ = [
    "Client",
    "Event",
    "Execution",
    "ExecutionStatus",
    "NonRetryableError",
    "StartRequest",
    "TaskContext",
    "TaskFailure",
    "Worker",
    "WorkflowError",
    "task",
]

__version__ = "0.1.0"

_LAZY = {
    "Client": "workflow_sdk.client",
    "Event": "workflow_sdk.models",
    "Execution": "workflow_sdk.models",
    "ExecutionStatus": "workflow_sdk.models",
    "StartRequest": "workflow_sdk.models",
    "Worker": "workflow_sdk.worker.runtime",
    "WorkflowError": "workflow_sdk.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
