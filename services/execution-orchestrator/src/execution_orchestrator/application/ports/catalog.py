"""Port to the catalog: which version a start runs on, and whether it may start at all."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class VersionQuery(NamedTuple):
    """A question for a version; 0 means the active one."""

    namespace: str
    workflow_id: str
    version: int = 0


class WorkflowNotFoundError(Exception):
    """The catalog has no such workflow, or the workflow has no such version.

    The message says which of the two, and what to do.
    """

    def __init__(self, reason: str, message: str, query: VersionQuery) -> None:
        super().__init__(message)
        self.reason = reason  # WORKFLOW_NOT_FOUND or VERSION_NOT_FOUND
        self.query = query


class CatalogUnavailableError(Exception):
    """The catalog does not answer. Nothing was started, and the call may be repeated."""


class ResolvedVersion(NamedTuple):
    """The catalog's answer at this moment."""

    workflow_status: str  # DRAFT, ACTIVE, INACTIVE, ARCHIVED
    version: int
    definition: bytes  # the serialized WorkflowDefinition


class Catalog(Protocol):
    """Resolves versions."""

    async def resolve(self, queries: Sequence[VersionQuery]) -> list[ResolvedVersion | Exception]:
        """Return the answer of this moment to each query, in order. Ask the catalog once for all of them.

        An answer is a version, WorkflowNotFoundError or CatalogUnavailableError. May be repeated.
        """
        ...
