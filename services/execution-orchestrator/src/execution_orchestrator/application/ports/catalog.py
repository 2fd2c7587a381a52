"""Port to the catalog: which version a start runs on, and whether it may start at all."""

from typing import NamedTuple, Protocol


class VersionQuery(NamedTuple):
    """Which version is meant; 0 is the active one."""

    namespace: str
    workflow_id: str
    version: int = 0


class WorkflowNotFoundError(Exception):
    """The catalog has no such workflow, or the workflow no such version; the message says which and what to
    do.
    """

    def __init__(self, reason: str, message: str, query: VersionQuery) -> None:
        super().__init__(message)
        self.reason = reason  # WORKFLOW_NOT_FOUND or VERSION_NOT_FOUND
        self.query = query


class CatalogUnavailableError(Exception):
    """The catalog does not answer; nothing was started, the call may be repeated."""


class ResolvedVersion(NamedTuple):
    """The catalog's answer at this moment."""

    workflow_status: str  # DRAFT, ACTIVE, INACTIVE, ARCHIVED
    version: int
    definition: bytes  # the serialized WorkflowDefinition


class Catalog(Protocol):
    """Resolves versions; one call of the catalog for all that are asked while another call is under way."""

    async def resolve(self, query: VersionQuery) -> ResolvedVersion:
        """What stands there now. Raises WorkflowNotFoundError, CatalogUnavailableError. May be repeated."""
        ...
