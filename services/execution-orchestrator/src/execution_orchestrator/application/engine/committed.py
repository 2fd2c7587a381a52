"""The value that a committed batch leaves behind, for everything that acts on commits."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

from workflow_contract.doorbell import Ring

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.store import ExecutionChanges


@dataclass(frozen=True, slots=True)
class Committed:
    """One committed batch. It does not change any more."""

    changes: Mapping[UUID, ExecutionChanges]
    """The changes that were written, by execution."""
    rings: Sequence[Ring]
    """One ring for each execution that changed."""
    hints: Sequence[Hint]
    """Task runs that became ready and were not claimed within the batch."""
    must_check: AbstractSet[UUID]
    """Executions whose attempts in flight may have to stop."""
    waits: Sequence[float]
    """For each claim, the seconds from ready to claimed."""
    undecided: Mapping[UUID, str]
    """Executions for which a command could not be decided, and why. Nothing of these commands was written."""


CommitListener = Callable[[Committed], None]
"""Called once after the commit of each batch. It must return at once. If it raises, the error is logged."""
