"""The Python SDK of WorkflowSystem.

`Client` starts and watches executions, `@task` and `Worker` run tasks, `Workflow` writes definitions.

A name is imported when it is first used: a process that only runs a handler never loads gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import NonRetryableError, TaskCancelled, TaskFailure
from workflow_sdk.payloads import PayloadError
from workflow_sdk.task import TaskDefinitionError, task
from workflow_sdk.version import __version__

if TYPE_CHECKING:
    from workflow_sdk.authoring.errors import WorkflowDefinitionError
    from workflow_sdk.authoring.functions import cel, execution, has, if_else, index, item
    from workflow_sdk.authoring.policies import Defaults, RetryPolicy, Timeouts
    from workflow_sdk.authoring.workflow import Workflow
    from workflow_sdk.client import Client
    from workflow_sdk.errors import (
        AlreadyExistsError,
        ConflictError,
        DeadlineError,
        DeniedError,
        InternalError,
        InvalidRequestError,
        NotFoundError,
        OverloadedError,
        PreconditionError,
        ResumeTokenExpiredError,
        StaleError,
        UnavailableError,
        Violation,
        WorkflowError,
    )
    from workflow_sdk.models import Event, Execution, Failure, StartRequest, TaskRun, WatchUpdate
    from workflow_sdk.reports import ValidationReport, WorkflowDifference
    from workflow_sdk.statuses import AttemptStatus, ExecutionStatus, TaskStatus, WorkflowStatus
    from workflow_sdk.worker.runtime import Worker
    from workflow_sdk.workflows import WorkflowInfo, WorkflowVersion

__all__ = [
    "AlreadyExistsError",
    "AttemptStatus",
    "Client",
    "ConflictError",
    "DeadlineError",
    "Defaults",
    "DeniedError",
    "Event",
    "Execution",
    "ExecutionStatus",
    "Failure",
    "InternalError",
    "InvalidRequestError",
    "NonRetryableError",
    "NotFoundError",
    "OverloadedError",
    "PayloadError",
    "PreconditionError",
    "ResumeTokenExpiredError",
    "RetryPolicy",
    "StaleError",
    "StartRequest",
    "TaskCancelled",
    "TaskContext",
    "TaskDefinitionError",
    "TaskFailure",
    "TaskRun",
    "TaskStatus",
    "Timeouts",
    "UnavailableError",
    "ValidationReport",
    "Violation",
    "WatchUpdate",
    "Worker",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowDifference",
    "WorkflowError",
    "WorkflowInfo",
    "WorkflowStatus",
    "WorkflowVersion",
    "__version__",
    "cel",
    "execution",
    "has",
    "if_else",
    "index",
    "item",
    "task",
]

_NAMES_BY_MODULE = {
    "authoring.errors": "WorkflowDefinitionError",
    "authoring.functions": "cel execution has if_else index item",
    "authoring.policies": "Defaults RetryPolicy Timeouts",
    "authoring.workflow": "Workflow",
    "client": "Client",
    "errors": (
        "AlreadyExistsError ConflictError DeadlineError DeniedError InternalError InvalidRequestError"
        " NotFoundError OverloadedError PreconditionError ResumeTokenExpiredError StaleError"
        " UnavailableError Violation WorkflowError"
    ),
    "models": "Event Execution Failure StartRequest TaskRun WatchUpdate",
    "reports": "ValidationReport WorkflowDifference",
    "statuses": "AttemptStatus ExecutionStatus TaskStatus WorkflowStatus",
    "worker.runtime": "Worker",
    "workflows": "WorkflowInfo WorkflowVersion",
}
_MODULE_BY_NAME = {
    name: f"{__name__}.{module}" for module, names in _NAMES_BY_MODULE.items() for name in names.split()
}


def __dir__() -> list[str]:
    """Return also the names that are not imported yet, for completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_BY_NAME[name]), name)
