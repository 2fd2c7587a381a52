"""What can be wrong with a definition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from workflow_expressions import nearest

from workflow_catalog.domain.limits import MAX_CANDIDATES


class Severity(StrEnum):
    """How much a problem weighs."""

    ERROR = "ERROR"  # the definition can't be published
    WARNING = "WARNING"  # it can be, and is probably not what its author means


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a definition."""

    field: str
    """The path within the definition: `tasks[2].when`."""
    description: str
    """What is wrong, and what to do."""
    severity: Severity = Severity.ERROR
    suggestion: str = ""
    """What was probably meant, where something is near."""

    @property
    def is_error(self) -> bool:
        """Whether it keeps the definition from being published."""
        return self.severity is Severity.ERROR


def warning(field: str, description: str, suggestion: str = "") -> Problem:
    """A problem that does not keep a definition from being published."""
    return Problem(field, description, Severity.WARNING, suggestion)


def unknown(field: str, sentence: str, name: str, candidates: Iterable[str], otherwise: str) -> Problem:
    """A name that is not there: with what was probably meant, or else with what to do."""
    suggestion = nearest(name, islice(candidates, MAX_CANDIDATES))
    advice = f"did you mean `{suggestion}`?" if suggestion else otherwise
    return Problem(field, f"{sentence}: {advice}", suggestion=suggestion)
