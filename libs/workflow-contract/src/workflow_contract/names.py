"""Names that the contract gives a meaning to."""

from typing import Final

DEFAULT_NAMESPACE: Final = "default"
"""The namespace of a request that names none."""

DEFAULT_QUEUE: Final = "default"
"""The queue of a task that names none, and of a worker that names none."""

BUILT_IN_TASK_TYPES: Final = frozenset({"fail", "http.request", "noop", "sleep"})
"""The task types that the worker service handles without any module of a user."""

CHILD_WORKFLOW: Final = "workflow"
"""The task type that starts an execution of another workflow."""

WAIT_PREFIX: Final = "wait."
"""The task types that begin with it wait for a time, a signal or an approval, without a worker."""


def is_reserved(task_type: str) -> bool:
    """Return whether the engine itself runs such tasks, in this release or a later one.

    No worker may offer a reserved type.
    """
    return task_type == CHILD_WORKFLOW or task_type.startswith(WAIT_PREFIX)
