"""The error for a workflow that can't be built as it is written, and the checks of names that raise it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from workflow_sdk.task import is_task_type

_WORKFLOW_ID = re.compile(r"[a-z][a-z0-9-]{2,62}")
_TASK_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")


class WorkflowDefinitionError(ValueError):
    """A workflow can't be built as it is written; the text says what to change."""


def check_workflow_id(workflow_id: object) -> str:
    """Return the id of a workflow. Raises WorkflowDefinitionError if it has another form."""
    if isinstance(workflow_id, str) and _WORKFLOW_ID.fullmatch(workflow_id):
        return workflow_id
    raise WorkflowDefinitionError(
        f"{workflow_id!r} is no id of a workflow: use 3 to 63 lower-case letters, digits and dashes, a letter"
        " first, such as 'order-intake'"
    )


def check_task_id(task_id: object) -> str:
    """Return the id of a task. Raises WorkflowDefinitionError if it has another form."""
    if isinstance(task_id, str) and _TASK_ID.fullmatch(task_id):
        return task_id
    raise WorkflowDefinitionError(
        f"{task_id!r} is no id of a task: use 1 to 63 lower-case letters, digits and underscores, a letter"
        " first, such as 'charge_card'"
    )


def check_task_type(task_type: object, what: str) -> str:
    """Return the name of a task type. Raises WorkflowDefinitionError if it has another form."""
    if isinstance(task_type, str) and is_task_type(task_type):
        return task_type
    raise WorkflowDefinitionError(
        f"{what}: {task_type!r} is no task type: give a handler's name, such as 'orders.charge', or a"
        " function with @task"
    )


def check_options(what: str, given: Mapping[str, object], known: Collection[str]) -> None:
    """Raise WorkflowDefinitionError for the first option that does not exist."""
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise WorkflowDefinitionError(f"{what} has no option {name!r}{hint}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return `, did you mean ...?` if a similar name is known, else an empty string."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
