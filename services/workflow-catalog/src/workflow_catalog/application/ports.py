"""What the application needs of the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from service_kit.consistency import ReadConsistency

from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import Workflow, WorkflowKey, WorkflowStatus, WorkflowVersion


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A workflow without its draft, as lists have it."""

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
    """Which workflows a list shows, in the order of their ids."""

    namespace: str
    statuses: frozenset[WorkflowStatus] = frozenset()
    """Empty: all."""
    workflow_id_prefix: str = ""
    owner: str = ""
    """Of the draft, exactly. Empty: all."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The draft has all of them."""
    after_workflow_id: str = ""
    """Only ids behind this one."""


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """A question for a version; 0 is the active one."""

    key: WorkflowKey
    version: int = 0


@dataclass(frozen=True, slots=True)
class VersionAnswer:
    """What is known of it at this moment; the version is without its definition."""

    status: WorkflowStatus | None
    """None where there is no such workflow."""
    active_version: int
    version: WorkflowVersion | None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request id that was used before."""

    request_hash: str
    """Of the request's body."""
    create_time: datetime
    """When what it asked for was made."""


class WorkflowTransaction(Protocol):
    """One transaction on the primary, committed when its `async with` ends without an error."""

    consistency_token: str
    """Set once it is committed: what a later read must have seen to see this."""

    async def find(self, key: WorkflowKey) -> Workflow | None:
        """The workflow, locked until the transaction ends."""
        ...

    async def add(self, workflow: Workflow) -> bool:
        """Store a new workflow; False where the id is taken."""
        ...

    async def save(self, workflow: Workflow) -> None:
        """Store the next revision of a workflow that `find` gave."""
        ...

    async def remove(self, key: WorkflowKey) -> None:
        """Remove a workflow that `find` gave, and that has no version."""
        ...

    async def add_version(self, version: WorkflowVersion) -> None:
        """Store a version; it must have its definition."""
        ...

    async def claim_request(
        self, namespace: str, request_id: str, request_hash: str, now: datetime
    ) -> RequestRecord | None:
        """Remember a request id; if it was used before, what is known of that. Waits for one in flight."""
        ...


class WorkflowStore(Protocol):
    """Workflows and their versions. Reads may be repeated; all methods may raise errors of the connection."""

    def transaction(self) -> AbstractAsyncContextManager[WorkflowTransaction]:
        """Begin a transaction; an error that leaves the block rolls it back."""
        ...

    async def get(self, key: WorkflowKey, consistency: ReadConsistency) -> Workflow | None:
        """A workflow with its draft."""
        ...

    async def list(
        self, where: WorkflowFilter, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowSummary]:
        """The first `limit` workflows that fit, by id."""
        ...

    async def list_versions(
        self, key: WorkflowKey, before: int, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowVersion]:
        """The newest `limit` versions with numbers under `before`, without their definitions."""
        ...

    async def resolve(
        self, queries: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[VersionAnswer]:
        """An answer for each question, in their order, all of one moment: one statement."""
        ...

    async def definitions(
        self, versions: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[Definition]:
        """The definitions of versions that exist (named by number, each once), in any order."""
        ...

    async def forget_requests(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` request ids used before a time, the oldest first; how many it was."""
        ...


class DefinitionCache(Protocol):
    """Definitions of versions outside the process, by content hash. It may lose what it has at any time.

    Neither method raises, and neither takes long: a cache that does not answer has nothing.
    """

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        """Those that it has."""
        ...

    async def put(self, definitions: Sequence[Definition]) -> None:
        """Keep these, at the cost of others."""
        ...
