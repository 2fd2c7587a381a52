"""START HERE. The life of a workflow as a table, and the effect of each method.

The rules:

1. A status changes only along a row of TRANSITIONS. Without a row, the lookup fails and nothing changes.
2. A row of REPEATS is a no-op that succeeds: the workflow already has the status that the caller wants.
3. A version never changes. A publish makes the next version and makes it active. A draft that equals the
   active version is not published again.
4. Archived is permanent.
5. A row of REMOVALS deletes the workflow.
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
    """The status of a workflow, in the users' words."""

    DRAFT = "DRAFT"  # being created or edited; nothing can start
    ACTIVE = "ACTIVE"  # ready for execution
    INACTIVE = "INACTIVE"  # disabled: no new executions
    ARCHIVED = "ARCHIVED"  # read-only, preserved for historical data


class Method(StrEnum):
    """The methods that change a workflow."""

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
        (_S.ACTIVE, _M.DELETE): "executions may have run on its versions; call ArchiveWorkflow instead",
        (_S.INACTIVE, _M.DELETE): "executions may have run on its versions; call ArchiveWorkflow instead",
    }
)
_ARCHIVED_ADVICE = "an archived workflow is permanently read-only; create another one"


def refusal_advice(status: WorkflowStatus, method: Method) -> str:
    """Return what to do if the tables have no row for this method."""
    return _ADVICE.get((status, method), _ARCHIVED_ADVICE)


ANY_ETAG = "*"
"""The value that callers send instead of an etag to overwrite any state."""


class WorkflowKey(NamedTuple):
    """The key of a workflow."""

    namespace: str
    workflow_id: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow with its draft. Every change returns a new object with the next revision."""

    key: WorkflowKey
    status: WorkflowStatus
    draft: Definition
    revision: int
    """Every change adds 1."""
    active_version: int
    """The version that new executions use, which is the last published one; 0 before the first publish."""
    active_hash: str
    """Content hash of the active version; "" before the first publish."""
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """The value that an update sends back, to say which state its caller has read."""
        return etag_of(self.create_time, self.revision)

    @property
    def draft_changed(self) -> bool:
        """True if the draft differs from the active version, or no version was published."""
        return self.draft.content_hash != self.active_hash

    def follow(self, method: Method) -> WorkflowStatus:
        """Return the status after a method. Raise StatusConflictError if TRANSITIONS has no row."""
        try:
            return TRANSITIONS[self.status, method]
        except KeyError:
            raise self._conflict(method) from None

    def check_removal(self) -> None:
        """Raise StatusConflictError if the workflow cannot be deleted."""
        if (self.status, Method.DELETE) not in REMOVALS:
            raise self._conflict(Method.DELETE)

    def _conflict(self, method: Method) -> StatusConflictError:
        advice = refusal_advice(self.status, method)
        return StatusConflictError(self.key.workflow_id, self.status, method, advice)

    def check_etag(self, etag: str) -> None:
        """Raise StaleEtagError if `etag` is of another state. "" and `*` match every state."""
        if etag not in ("", ANY_ETAG, self.etag):
            raise StaleEtagError(self.key.workflow_id)

    def changed(self, now: datetime, status: WorkflowStatus) -> Workflow:
        """Return the next revision, with this status."""
        return replace(self, status=status, revision=self.revision + 1, update_time=now)


def etag_of(create_time: datetime, revision: int) -> str:
    """Return the etag of one state of a workflow. It never repeats, even if the id is used again.

    A draft can be deleted, and another one can be created with the same id. Its revisions begin at 1 again.
    So the etag also has the time of the creation, in microseconds since 1970.
    """
    return f"{(create_time - _EPOCH) // _MICROSECOND:x}-{revision}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """A published version, which never changes."""

    key: WorkflowKey
    version: int
    """Numbers begin at 1 and have no gaps."""
    content_hash: str
    publish_time: datetime
    definition: Definition | None
    """None if it was not read, for example because the caller has it."""


def create(key: WorkflowKey, draft: Definition, now: datetime) -> Workflow:
    """Return a new workflow in the status Draft."""
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
    """Return the workflow with another draft. An equal draft changes nothing.

    Raise StatusConflictError if the workflow is archived.
    """
    status = workflow.follow(Method.UPDATE)
    if draft == workflow.draft:
        return workflow
    return replace(workflow.changed(now, status), draft=draft)


def publish(workflow: Workflow, now: datetime) -> tuple[Workflow, WorkflowVersion | None]:
    """Return the workflow with its draft as the active version, and this new version.

    Return None instead of a version if the draft equals the active version. The draft must be valid. Raise
    StatusConflictError if the workflow is inactive or archived.
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
    """Return the workflow after Deactivate, Activate or Archive. A repeat changes nothing.

    Raise StatusConflictError if the tables have no row.
    """
    if (workflow.status, method) in REPEATS:
        return workflow
    return workflow.changed(now, workflow.follow(method))
