"""What the rules refuse.

    DomainError
     +- IllegalTransitionError     the table has no such row: a defect of ours, never a user's mistake
     +- StatusConflictError        the execution's status does not allow what the caller wants
     +- TaskTypeUnknownError       a task's type is none that a worker ever offered
     +- InvalidDefinitionError     a definition that no catalog should have published

`MissingError`, `HeavyEvaluationError` and `PlanUnavailableError` are no refusals: the decision needs
something before it can be made.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

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


class HeavyEvaluationError(Exception):
    """The decision needs an evaluation that takes too long for the event loop: make it on a thread.

    Call `compute` on any thread, put what it returns into `Snapshot.evaluated` under `key`, and decide again.
    It depends only on values that never change (the command, the execution's input, the outputs of finished
    tasks), so it holds for every later decision of the same command.
    """

    def __init__(self, key: tuple[str, str], compute: Callable[[], Any]) -> None:
        super().__init__(f"the evaluation of {key} is too large to be made within a decision")
        self.key = key
        self.compute = compute
