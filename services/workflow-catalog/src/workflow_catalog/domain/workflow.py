"""START HERE. A workflow: its life as a table, and what each method makes of it.

The rules:

1. A status changes only along a row of TRANSITIONS. What is not a row is a failed lookup: nothing changes.
2. A row of REPEATS is a no-op that succeeds: the workflow is what the caller wants already.
3. A version never changes. A publish makes the next one, and makes it the active one; a draft that is equal
   to the active version is not published again.
4. Archived is for good.
5. What is a row of REMOVALS takes the workflow away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import StaleEtagError, StatusConflictError


class WorkflowStatus(StrEnum):
    """Where a workflow stands; the users' words."""

    DRAFT = "DRAFT"  # being created or edited; nothing can start
    ACTIVE = "ACTIVE"  # ready for execution
    INACTIVE = "INACTIVE"  # disabled: no new executions
    ARCHIVED = "ARCHIVED"  # read-only, preserved for historical data


class Method(StrEnum):
    """What a caller does to a workflow."""

    UPDATE = "UpdateWorkflow"
    PUBLISH = "PublishWorkflow"
    DEACTIVATE = "DeactivateWorkflow"
    ACTIVATE = "ActivateWorkflow"
    ARCHIVE = "ArchiveWorkflow"
    DELETE = "DeleteWorkflow"


_S, _M = WorkflowStatus, Method
TRANSITIONS: Mapping[tuple[WorkflowStatus, Method], WorkflowStatus] = MappingProxyType(
    {
        (_S.DRAFT, _M.UPDATE): _S.DRAFT,
        (_S.DRAFT, _M.PUBLISH): _S.ACTIVE,
        (_S.DRAFT, _M.ARCHIVE): _S.ARCHIVED,
        (_S.ACTIVE, _M.UPDATE): _S.ACTIVE,  # the draft only; running and new executions keep the version
        (_S.ACTIVE, _M.PUBLISH): _S.ACTIVE,  # a further version; running executions keep theirs
        (_S.ACTIVE, _M.DEACTIVATE): _S.INACTIVE,
        (_S.ACTIVE, _M.ARCHIVE): _S.ARCHIVED,
        (_S.INACTIVE, _M.UPDATE): _S.INACTIVE,
        (_S.INACTIVE, _M.ACTIVATE): _S.ACTIVE,
        (_S.INACTIVE, _M.ARCHIVE): _S.ARCHIVED,
    }
)

REPEATS = frozenset(
    {
        (_S.INACTIVE, _M.DEACTIVATE),
        (_S.ACTIVE, _M.ACTIVATE),
        (_S.ARCHIVED, _M.ARCHIVE),
    }
)

REMOVALS = frozenset({(_S.DRAFT, _M.DELETE)})
"""A Draft was never published, so no execution ever ran on it."""

_ADVICE: Mapping[tuple[WorkflowStatus, Method], str] = MappingProxyType(
    {
        (_S.DRAFT, _M.DEACTIVATE): "nothing can start before PublishWorkflow anyway",
        (_S.DRAFT, _M.ACTIVATE): "call PublishWorkflow, which makes it Active",
        (_S.INACTIVE, _M.PUBLISH): "call ActivateWorkflow first",
        (_S.ACTIVE, _M.DELETE): "executions ran on its versions; call ArchiveWorkflow to put it away",
        (_S.INACTIVE, _M.DELETE): "executions ran on its versions; call ArchiveWorkflow to put it away",
    }
)
_ARCHIVED_ADVICE = "an archived workflow is read-only for good; create another one"


def refusal_advice(status: WorkflowStatus, method: Method) -> str:
    """What to do where the tables have no row for this method."""
    return _ADVICE.get((status, method), _ARCHIVED_ADVICE)


ANY_ETAG = "*"
"""Given instead of an etag by whoever wants to overwrite whatever is there."""


class WorkflowKey(NamedTuple):
    """What a workflow is found by."""

    namespace: str
    workflow_id: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow with its draft. Every change gives a new value with the next revision."""

    key: WorkflowKey
    status: WorkflowStatus
    draft: Definition
    revision: int
    """Grows by one with every change."""
    active_version: int
    """The version that new executions take, the last one published; 0 before the first."""
    active_hash: str
    """Content hash of the active version; empty before the first."""
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """What an update gives back to say which state it has seen."""
        return etag_of(self.create_time, self.revision)

    @property
    def draft_changed(self) -> bool:
        """Whether the draft differs from the active version, or none was published."""
        return self.draft.content_hash != self.active_hash

    def follow(self, method: Method) -> WorkflowStatus:
        """The status that follows. Raises StatusConflictError where the table has no row."""
        try:
            return TRANSITIONS[self.status, method]
        except KeyError:
            raise self._conflict(method) from None

    def check_removal(self) -> None:
        """Raise StatusConflictError where the workflow can't be deleted."""
        if (self.status, Method.DELETE) not in REMOVALS:
            raise self._conflict(Method.DELETE)

    def _conflict(self, method: Method) -> StatusConflictError:
        advice = refusal_advice(self.status, method)
        return StatusConflictError(self.key.workflow_id, self.status, method, advice)

    def check_etag(self, etag: str) -> None:
        """Raise StaleEtagError where `etag` is not of this state; the empty one and `*` fit any."""
        if etag not in ("", ANY_ETAG, self.etag):
            raise StaleEtagError(self.key.workflow_id)

    def changed(self, now: datetime, status: WorkflowStatus) -> Workflow:
        """The next revision, with this status."""
        return replace(self, status=status, revision=self.revision + 1, update_time=now)


def etag_of(create_time: datetime, revision: int) -> str:
    """Return the etag of one state of a workflow: no other workflow with the same id has the same one.

    A draft can be deleted, and another one can be created with its id. Revisions begin at 1 again then, so
    the etag has the time of the creation too, in microseconds since 1970.
    """
    return f"{(create_time - _EPOCH) // _MICROSECOND:x}-{revision}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """A published version; it never changes."""

    key: WorkflowKey
    version: int
    """1 for the first, then without a gap."""
    content_hash: str
    publish_time: datetime
    definition: Definition | None
    """None where the caller has it."""


def create(key: WorkflowKey, draft: Definition, now: datetime) -> Workflow:
    """A new workflow: a Draft."""
    return Workflow(
        key=key,
        status=WorkflowStatus.DRAFT,
        draft=draft,
        revision=1,
        active_version=0,
        active_hash="",
        create_time=now,
        update_time=now,
    )


def update(workflow: Workflow, draft: Definition, now: datetime) -> Workflow:
    """The workflow with another draft; the very same draft changes nothing.

    Raises StatusConflictError for an archived workflow.
    """
    status = workflow.follow(Method.UPDATE)
    if draft == workflow.draft:
        return workflow
    return replace(workflow.changed(now, status), draft=draft)


def publish(workflow: Workflow, now: datetime) -> tuple[Workflow, WorkflowVersion | None]:
    """The workflow with its draft as the active version, and that version; None where it was so already.

    The draft must have been found valid. Raises StatusConflictError for an inactive or archived workflow.
    """
    status = workflow.follow(Method.PUBLISH)
    if not workflow.draft_changed:
        return workflow, None
    version = WorkflowVersion(
        key=workflow.key,
        version=workflow.active_version + 1,
        content_hash=workflow.draft.content_hash,
        publish_time=now,
        definition=workflow.draft,
    )
    published = replace(
        workflow.changed(now, status), active_version=version.version, active_hash=version.content_hash
    )
    return published, version


def change_status(workflow: Workflow, method: Method, now: datetime) -> Workflow:
    """The workflow after Deactivate, Activate or Archive; a repeat changes nothing.

    Raises StatusConflictError where the table has no row.
    """
    if (workflow.status, method) in REPEATS:
        return workflow
    return workflow.changed(now, workflow.follow(method))
