"""What the rules refuse.

    DomainError
     +- IllegalTransitionError     the table has no such row: a defect of ours, never a user's mistake
     +- StatusConflictError        the execution's status does not allow what the caller wants
     +- TaskTypeUnknownError       a task's type is none that a worker ever offered
     +- InvalidDefinitionError     a definition that no catalog should have published

`MissingError` is not a refusal: the decision needs more of the execution than the snapshot has.
`PlanUnavailableError` is not one either: the decision needs the definition, and nobody can read it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execution_orchestrator.domain.task import TaskKey


class DomainError(Exception):
    """The rules refuse it; nothing was changed."""


class IllegalTransitionError(DomainError):
    """No row of the table leads from this status on this trigger."""

    def __init__(self, status: str, trigger: str) -> None:
        super().__init__(f"nothing leads from {status} on {trigger!r}")


class StatusConflictError(DomainError):
    """The execution's status does not allow the method; the message names one that would help."""

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
    """The definition can't be interpreted."""


class PlanUnavailableError(Exception):
    """The decision needs the plan of the execution, and the plan is not available; the text says why."""


class MissingError(Exception):
    """The snapshot lacks what the decision needs: load it into the snapshot and decide again."""

    def __init__(
        self,
        *,
        tasks: Iterable["TaskKey"] = (),
        inputs: Iterable["TaskKey"] = (),
        outputs: Iterable[str] = (),
        execution_input: bool = False,
    ) -> None:
        super().__init__("the snapshot is incomplete")
        self.tasks = frozenset(tasks)
        self.inputs = frozenset(inputs)
        self.outputs = frozenset(outputs)
        self.execution_input = execution_input
