"""The budget of steps that several evaluations share. `cost.py` limits each single evaluation."""

from __future__ import annotations

from workflow_expressions.errors import WorkLimitError
from workflow_expressions.limits import MAX_TOTAL_WORK


class Budget:
    """The steps that several evaluations may take together."""

    def __init__(self, work: float = MAX_TOTAL_WORK) -> None:
        self._left = work

    def spend(self, work: float) -> None:
        """Subtract steps from the budget. Raise WorkLimitError if too few are left."""
        self._left -= work
        if self._left < 0:
            raise WorkLimitError(
                "all expressions together could take too long on these values: pass less data to each, "
                "or compute what they need in one task before"
            )
