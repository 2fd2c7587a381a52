"""The port WorkflowStore in memory. The same contract tests run on it and on the real store."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service_kit.data.consistency import LogPosition, ReadConsistency, encode

from workflow_catalog.application.ports import (
    RequestRecord,
    VersionAnswer,
    VersionQuery,
    WorkflowFilter,
    WorkflowSummary,
)
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import Workflow, WorkflowKey, WorkflowVersion


@dataclass
class _Data:
    workflows: dict[WorkflowKey, Workflow] = field(default_factory=dict)
    versions: dict[VersionQuery, WorkflowVersion] = field(default_factory=dict)
    requests: dict[tuple[str, str], RequestRecord] = field(default_factory=dict)


class MemoryWorkflowTransaction:
    """The port WorkflowTransaction. It works on a copy, which replaces the store's data at the end."""

    def __init__(self, data: _Data) -> None:
        self.consistency_token = ""
        self._data = data

    async def find(self, key: WorkflowKey) -> Workflow | None:
        return self._data.workflows.get(key)

    async def add(self, workflow: Workflow) -> bool:
        return self._data.workflows.setdefault(workflow.key, workflow) is workflow

    async def save(self, workflow: Workflow) -> None:
        self._data.workflows[workflow.key] = workflow

    async def remove(self, key: WorkflowKey) -> None:
        del self._data.workflows[key]

    async def add_version(self, version: WorkflowVersion) -> None:
        self._data.versions[VersionQuery(version.key, version.version)] = version

    async def claim_request(
        self, namespace: str, request_id: str, request_hash: str, now: datetime
    ) -> RequestRecord | None:
        mine = RequestRecord(request_hash, now)
        record = self._data.requests.setdefault((namespace, request_id), mine)
        return None if record is mine else record


class MemoryWorkflowStore:
    """The port WorkflowStore, with one transaction at a time.

    `hold_replica` freezes the state that reads from a replica see, until `release_replica`.
    """

    def __init__(self) -> None:
        self._primary = _Data()
        self._replica: _Data | None = None
        self._lock = asyncio.Lock()
        self._commits = 0
        self.statements = 0
        """The number of reads so far."""

    def hold_replica(self) -> None:
        """Freeze the replica, so that it falls behind."""
        self._replica = copy.deepcopy(self._primary)

    def release_replica(self) -> None:
        """Let the replica catch up."""
        self._replica = None

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryWorkflowTransaction]:
        async with self._lock:
            data = _Data(
                dict(self._primary.workflows), dict(self._primary.versions), dict(self._primary.requests)
            )
            transaction = MemoryWorkflowTransaction(data)
            yield transaction
            self._primary = data
            self._commits += 1
            transaction.consistency_token = encode(LogPosition(0, 1, self._commits))

    async def get(self, key: WorkflowKey, consistency: ReadConsistency) -> Workflow | None:
        return self._data(consistency).workflows.get(key)

    async def list(
        self, where: WorkflowFilter, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowSummary]:
        fitting = [
            _summary(workflow)
            for key, workflow in sorted(self._data(consistency).workflows.items())
            if key.namespace == where.namespace
            and key.workflow_id.startswith(where.workflow_id_prefix)
            and key.workflow_id > where.after_workflow_id
            and (not where.statuses or workflow.status in where.statuses)
            and where.owner in ("", workflow.draft.value.get("owner", ""))
            and where.labels.items() <= workflow.draft.value.get("labels", {}).items()
        ]
        return fitting[:limit]

    async def list_versions(
        self, key: WorkflowKey, before: int, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowVersion]:
        fitting = [
            replace(version, definition=None)
            for query, version in self._data(consistency).versions.items()
            if query.key == key and query.version < before
        ]
        return sorted(fitting, key=lambda version: -version.version)[:limit]

    async def resolve(
        self, queries: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[VersionAnswer]:
        data = self._data(consistency)
        return [_answer(data, query) for query in queries]

    async def definitions(
        self, versions: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[Definition]:
        found = [self._data(consistency).versions[each].definition for each in versions]
        return [definition for definition in found if definition is not None]

    async def forget_requests(self, before: datetime, limit: int) -> int:
        requests = self._primary.requests
        old = sorted(
            (record.create_time, key) for key, record in requests.items() if record.create_time < before
        )
        for _, key in old[:limit]:
            del requests[key]
        return len(old[:limit])

    def _data(self, consistency: ReadConsistency) -> _Data:
        self.statements += 1
        stale = self._replica is not None and not consistency.strong and consistency.position is None
        return self._replica if stale and self._replica is not None else self._primary


def _summary(workflow: Workflow) -> WorkflowSummary:
    return WorkflowSummary(
        key=workflow.key,
        status=workflow.status,
        etag=workflow.etag,
        active_version=workflow.active_version,
        draft_changed=workflow.draft_changed,
        create_time=workflow.create_time,
        update_time=workflow.update_time,
        description=workflow.draft.value.get("description", ""),
        owner=workflow.draft.value.get("owner", ""),
        labels=workflow.draft.value.get("labels", {}),
    )


def _answer(data: _Data, query: VersionQuery) -> VersionAnswer:
    workflow = data.workflows.get(query.key)
    if workflow is None:
        return VersionAnswer(None, 0, None)
    number = query.version or workflow.active_version
    version = data.versions.get(VersionQuery(query.key, number))
    headless = None if version is None else replace(version, definition=None)
    return VersionAnswer(workflow.status, workflow.active_version, headless)
