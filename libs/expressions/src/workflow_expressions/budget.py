"""The budget that several evaluations share; `cost.py` says what each of them may take."""

from __future__ import annotations

from workflow_expressions.errors import WorkLimitError
from workflow_expressions.limits import MAX_TOTAL_WORK


class Budget:
    """The steps that several evaluations may take together."""

    def __init__(self, work: float = MAX_TOTAL_WORK) -> None:
        self._left = work

    def spend(self, work: float) -> None:
        """Take steps from the budget. Raise WorkLimitError if they are more than what is left."""
        self._left -= work
        if self._left < 0:
            raise WorkLimitError(
                "all expressions together could take too long on these values: pass less data to each, "
                "or compute what they need in one task before"
            )
