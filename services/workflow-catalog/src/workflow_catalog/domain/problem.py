"""The problems of a definition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from workflow_expressions import nearest

from workflow_catalog.domain.limits import MAX_CANDIDATES, MAX_DESCRIPTION_CHARS, MAX_FIELD_CHARS


class Severity(StrEnum):
    """How severe a problem is."""

    ERROR = "ERROR"  # the definition can't be published
    WARNING = "WARNING"  # the definition can be published, but it is probably a mistake


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a definition.

    Texts are cut at their limits, because they may quote names that are as long as the definition.
    """

    field: str
    """The path within the definition: `tasks[2].when`."""
    description: str
    """A sentence that says what is wrong and what to do."""
    severity: Severity = Severity.ERROR
    suggestion: str = ""
    """A similar name that the author probably meant, or ""."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", cut_path(self.field))
        object.__setattr__(self, "description", cut(self.description, MAX_DESCRIPTION_CHARS))
        object.__setattr__(self, "suggestion", cut(self.suggestion, MAX_FIELD_CHARS))

    @property
    def is_error(self) -> bool:
        """True if the problem prevents a publish."""
        return self.severity is Severity.ERROR


def cut(text: str, max_chars: int) -> str:
    """Return the text, or its beginning with an ellipsis if it is longer."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def cut_path(path: str) -> str:
    """Return the path. If it is too long, keep its beginning and its end, which distinguish places best."""
    if len(path) <= MAX_FIELD_CHARS:
        return path
    end = MAX_FIELD_CHARS // 3
    return f"{path[: MAX_FIELD_CHARS - end - 1]}…{path[-end:]}"


def warning(field: str, description: str, suggestion: str = "") -> Problem:
    """Return a problem that does not prevent a publish."""
    return Problem(field, description, Severity.WARNING, suggestion)


def unknown(field: str, sentence: str, name: str, candidates: Iterable[str], otherwise: str) -> Problem:
    """Return the problem of an unknown name. It suggests a similar candidate, or else says `otherwise`."""
    suggestion = nearest(name, islice(candidates, MAX_CANDIDATES))
    advice = f"did you mean `{suggestion}`?" if suggestion else otherwise
    return Problem(field, f"{sentence}: {advice}", suggestion=suggestion)
