"""Compare two definitions, and classify each change by its effect on callers that start the workflow."""

from workflow_catalog.domain.comparison.difference import (
    UNCHANGED,
    Change,
    ChangeClass,
    ChangeKind,
    Difference,
    compare,
)

__all__ = ["UNCHANGED", "Change", "ChangeClass", "ChangeKind", "Difference", "compare"]
