"""What differs between two definitions, and what that means to those who start the workflow."""

from workflow_catalog.domain.comparison.difference import (
    UNCHANGED,
    Change,
    ChangeClass,
    ChangeKind,
    Difference,
    compare,
)

__all__ = ["UNCHANGED", "Change", "ChangeClass", "ChangeKind", "Difference", "compare"]
