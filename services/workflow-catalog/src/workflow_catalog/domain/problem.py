"""What can be wrong with a definition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from workflow_expressions import nearest

from workflow_catalog.domain.limits import MAX_CANDIDATES, MAX_DESCRIPTION_CHARS, MAX_FIELD_CHARS


class Severity(StrEnum):
    """How much a problem weighs."""

    ERROR = "ERROR"  # the definition can't be published
    WARNING = "WARNING"  # it can be, and is probably not what its author means


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a definition.

    Texts are cut at their limits: they may quote names that are as long as the definition.
    """

    field: str
    """The path within the definition: `tasks[2].when`."""
    description: str
    """What is wrong, and what to do."""
    severity: Severity = Severity.ERROR
    suggestion: str = ""
    """What was probably meant, where something is near."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", cut_path(self.field))
        object.__setattr__(self, "description", cut(self.description, MAX_DESCRIPTION_CHARS))
        object.__setattr__(self, "suggestion", cut(self.suggestion, MAX_FIELD_CHARS))

    @property
    def is_error(self) -> bool:
        """Whether it keeps the definition from being published."""
        return self.severity is Severity.ERROR


def cut(text: str, max_chars: int) -> str:
    """Return the text, or its beginning with an ellipsis if it is longer."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def cut_path(path: str) -> str:
    """Return the path, or its beginning and its end if it is too long: they tell places apart."""
    if len(path) <= MAX_FIELD_CHARS:
        return path
    end = MAX_FIELD_CHARS // 3
    return f"{path[: MAX_FIELD_CHARS - end - 1]}…{path[-end:]}"


def warning(field: str, description: str, suggestion: str = "") -> Problem:
    """A problem that does not keep a definition from being published."""
    return Problem(field, description, Severity.WARNING, suggestion)


def unknown(field: str, sentence: str, name: str, candidates: Iterable[str], otherwise: str) -> Problem:
    """A name that is not there: with what was probably meant, or else with what to do."""
    suggestion = nearest(name, islice(candidates, MAX_CANDIDATES))
    advice = f"did you mean `{suggestion}`?" if suggestion else otherwise
    return Problem(field, f"{sentence}: {advice}", suggestion=suggestion)
