"""The requests of reads as filters and keys, and what binds a page token to its list."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from service_kit.errors import FIELD_INVALID, FieldViolation, ServiceError, invalid_argument
from service_kit.rpc import paging
from workflow_contract.messages import time_of
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.ports.reads import ExecutionFilter
from execution_orchestrator.application.ports.task_runs import TaskChoice, TaskRunFilter
from execution_orchestrator.application.watching.waiters import MAX_LOOK
from execution_orchestrator.domain.task import NO_ITEM, TaskKey
from execution_orchestrator.entrypoints import translate

SEQUENCE_KEY = paging.number_key(2**63 - 1)
"""Read the sequence number of an event from a page token."""

VERSION_KEY = paging.number_key(2**31 - 1)
"""Read the version of a workflow from a page token."""


def choice_of(request: pb.GetExecutionRequest) -> TaskChoice | None:
    """Return the task that the request names, or None for all tasks."""
    if not request.task_id:
        return None
    return TaskChoice(request.task_id, request.item if request.HasField("item") else None)


def task_run_filter_of(request: pb.ListTaskRunsRequest) -> TaskRunFilter:
    """Return the filters of a list of task runs."""
    return TaskRunFilter(
        request.namespace or DEFAULT_NAMESPACE,
        UUID(request.execution_id),
        request.task_id,
        tuple(map(translate.task_status_of, request.statuses)),
        request.min_attempt,
        full=request.view == execution_pb2.TASK_RUN_VIEW_FULL,
    )


def task_runs_hash(where: TaskRunFilter) -> str:
    """Return what binds a page token to a list of task runs. The view may differ from page to page."""
    return paging.filter_hash(
        "ListTaskRuns",
        *(where.namespace, where.execution_id, where.task_id, sorted(where.statuses), where.min_attempt),
    )


def task_key_text(key: TaskKey) -> str:
    """Return the key of a task run as a page token holds it."""
    return f"{key.task_id}/{key.item}"


def task_key(value: Any) -> TaskKey:
    """Return the key that `task_key_text` wrote. Raise ValueError for anything else."""
    task_id, _, item = paging.text_key(value).rpartition("/")
    if not NO_ITEM <= int(item) < 2**31:
        raise ValueError("no task run has this item")
    return TaskKey(task_id, int(item))


def execution_ids_of(texts: Sequence[str]) -> list[UUID]:
    """Return the ids of a request.

    Raise ServiceError INVALID_ARGUMENT if an id is not a UUID, or if there are no ids or over MAX_LOOK.
    """
    if not 0 < len(texts) <= MAX_LOOK:
        raise _wrong("execution_ids", f"must have 1 to {MAX_LOOK:,} ids, but has {len(texts):,}")
    ids = []
    for position, text in enumerate(texts):
        try:
            ids.append(UUID(text))
        except ValueError:
            raise _wrong(f"execution_ids[{position}]", f"must be a UUID, but is {text[:64]!r}") from None
    return ids


def _wrong(field: str, problem: str) -> ServiceError:
    violation = FieldViolation(field, problem)
    return invalid_argument(FIELD_INVALID, f"{field} {problem}: correct it", violation)


def execution_filter_of(request: pb.ListExecutionsRequest) -> ExecutionFilter:
    """Return the filters of a list of executions."""
    since = request.create_time_from if request.HasField("create_time_from") else None
    before = request.create_time_before if request.HasField("create_time_before") else None
    return ExecutionFilter(
        request.namespace or DEFAULT_NAMESPACE,
        request.workflow_id,
        tuple(map(translate.status_of, request.statuses)),
        dict(request.labels),
        None if since is None else time_of(since),
        None if before is None else time_of(before),
        request.quarantined,
    )


def executions_hash(where: ExecutionFilter) -> str:
    """Return what binds a page token to a list of executions."""
    return paging.filter_hash(
        "ListExecutions",
        where.namespace,
        where.workflow_id,
        sorted(where.statuses),
        sorted(where.labels.items()),
        where.create_time_from,
        where.create_time_before,
        *(["quarantined"] if where.quarantined else []),  # so that tokens without the filter stay valid
    )
