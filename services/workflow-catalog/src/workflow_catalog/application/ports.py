"""The ports: what the application needs from databases and caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from service_kit.data.consistency import ReadConsistency

from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import Workflow, WorkflowKey, WorkflowStatus, WorkflowVersion


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A workflow without its draft, as ListWorkflows returns it."""

    key: WorkflowKey
    status: WorkflowStatus
    etag: str
    active_version: int
    draft_changed: bool
    create_time: datetime
    update_time: datetime
    description: str = ""
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkflowFilter:
    """The filters of a list of workflows. The list is in the order of their ids."""

    namespace: str
    statuses: frozenset[WorkflowStatus] = frozenset()
    """An empty set means all statuses."""
    workflow_id_prefix: str = ""
    owner: str = ""
    """The exact owner in the draft. "" means every owner."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the draft must have."""
    after_workflow_id: str = ""
    """The list has only ids that sort after this one."""


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """A query for one version of a workflow. 0 means the active version."""

    key: WorkflowKey
    version: int = 0


@dataclass(frozen=True, slots=True)
class VersionAnswer:
    """The current answer to a VersionQuery. The version has no definition."""

    status: WorkflowStatus | None
    """None if the workflow does not exist."""
    active_version: int
    version: WorkflowVersion | None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request id that was used before."""

    request_hash: str
    """Hash of the request's body."""
    create_time: datetime
    """The time of the request's first use."""


class WorkflowTransaction(Protocol):
    """One transaction on the primary, committed when its `async with` ends without an error."""

    consistency_token: str
    """Set after the commit. A read with this token includes the changes of this transaction."""

    async def find(self, key: WorkflowKey) -> Workflow | None:
        """Return the workflow, locked until the transaction ends, or None if it does not exist."""
        ...

    async def add(self, workflow: Workflow) -> bool:
        """Store a new workflow. Return False if the id is taken."""
        ...

    async def save(self, workflow: Workflow) -> None:
        """Store the next revision of a workflow that `find` returned."""
        ...

    async def remove(self, key: WorkflowKey) -> None:
        """Remove a workflow that `find` returned and that has no version."""
        ...

    async def add_version(self, version: WorkflowVersion) -> None:
        """Store a version, which must include its definition."""
        ...

    async def claim_request(
        self, namespace: str, request_id: str, request_hash: str, now: datetime
    ) -> RequestRecord | None:
        """Store a request id and return None, or return the record of its first use if it was used before.

        If another transaction is storing the same id, wait until that transaction ends.
        """
        ...


class WorkflowStore(Protocol):
    """Workflows and their versions. Reads may be repeated. Every method may raise connection errors."""

    def transaction(self) -> AbstractAsyncContextManager[WorkflowTransaction]:
        """Begin a transaction. An exception that leaves the block rolls it back."""
        ...

    async def get(self, key: WorkflowKey, consistency: ReadConsistency) -> Workflow | None:
        """Return a workflow with its draft, or None if it does not exist."""
        ...

    async def list(
        self, where: WorkflowFilter, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowSummary]:
        """Return the first `limit` workflows, by id, that match the filter."""
        ...

    async def list_versions(
        self, key: WorkflowKey, before: int, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowVersion]:
        """Return the newest `limit` versions with numbers below `before`, without their definitions."""
        ...

    async def resolve(
        self, queries: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[VersionAnswer]:
        """Return an answer for each query, in their order, with one statement: all are of the same moment."""
        ...

    async def definitions(
        self, versions: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[Definition]:
        """Return the definitions of versions in any order.

        Each version must exist, must be given by its number, and must be given only once.
        """
        ...

    async def forget_requests(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` request ids older than `before`, the oldest first. Return their number."""
        ...


class DefinitionCache(Protocol):
    """A cache of definitions outside the process, by content hash. It may lose entries at any time.

    Neither method raises, and neither takes long. If the cache does not answer, it counts as empty.
    """

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        """Return the definitions that the cache has, by content hash."""
        ...

    async def put(self, definitions: Sequence[Definition]) -> None:
        """Store these definitions. They may evict others."""
        ...
