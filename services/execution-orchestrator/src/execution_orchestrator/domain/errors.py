"""The errors of the rules.

    DomainError                    the rules refuse the command, and change nothing
     +- IllegalTransitionError     the table has no such row: a defect of ours, never a user's mistake
     +- StatusConflictError        the execution's status does not allow what the caller wants
     +- TaskTypeUnknownError       no worker has ever offered the type of a task
     +- InvalidDefinitionError     a definition that no catalog should have published

Three other errors say that the rules need something before they can decide: `PlanUnavailableError` and
`HeavyEvaluationError` below, and `MissingError` in decision.py, beside the snapshot that it is about.
"""

from collections.abc import Callable
from typing import Any


class DomainError(Exception):
    """The rules refuse the command, and nothing was changed."""


class IllegalTransitionError(DomainError):
    """The table has no row for this status and this trigger."""

    def __init__(self, status: str, trigger: str) -> None:
        super().__init__(f"nothing leads from {status} on {trigger!r}")


class StatusConflictError(DomainError):
    """The execution's status does not allow the method. The message names a method that would help."""

    def __init__(self, method: str, status: str, advice: str) -> None:
        super().__init__(f"{method} is not possible: the execution is {status}; {advice}")
        self.method = method
        self.status = status


class TaskTypeUnknownError(DomainError):
    """No worker ever offered this type in the namespace."""

    def __init__(self, task_id: str, task_type: str, message: str) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.task_type = task_type


class InvalidDefinitionError(DomainError):
    """The engine cannot interpret the definition."""


class PlanUnavailableError(Exception):
    """The decision needs the plan of the execution, and the plan is not available; the text says why."""


class HeavyEvaluationError(Exception):
    """The decision needs an evaluation that takes too long for the event loop: make it on a thread.

    Call `compute` on any thread, put its result into `Snapshot.evaluated` under `key`, and decide again.
    The result depends only on values that never change (the command, the execution's input, the outputs of
    finished tasks). So it is valid for every later decision of the same command.
    """

    def __init__(self, key: tuple[str, str], compute: Callable[[], Any]) -> None:
        super().__init__(f"the evaluation of {key} is too large to be made within a decision")
        self.key = key
        self.compute = compute
