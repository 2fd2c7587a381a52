"""The port WorkflowStore on PostgreSQL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

from service_kit.data.consistency import ReadConsistency
from service_kit.data.pools import taken_from
from service_kit.data.postgres import Connection, Database

from workflow_catalog.adapters.postgres import queries
from workflow_catalog.adapters.postgres.statements import Statement
from workflow_catalog.application.ports import (
    RequestRecord,
    VersionAnswer,
    VersionQuery,
    WorkflowFilter,
    WorkflowSummary,
)
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.workflow import (
    Workflow,
    WorkflowKey,
    WorkflowStatus,
    WorkflowVersion,
    etag_of,
)

PREFIX_END = "~"  # sorts after every character that an id can have


class PostgresWorkflowTransaction:
    """The port WorkflowTransaction: one transaction on the primary."""

    def __init__(self, connection: Connection) -> None:
        self.consistency_token = ""
        self._connection = connection

    async def find(self, key: WorkflowKey) -> Workflow | None:
        statement = queries.LOCK_WORKFLOW
        row = await self._connection.fetchrow(statement.sql, *statement.arguments(**key._asdict()))
        return None if row is None else _workflow(row)

    async def add(self, workflow: Workflow) -> bool:
        statement = queries.ADD_WORKFLOW
        values = {**workflow.key._asdict(), **_state(workflow), "create_time": workflow.create_time}
        row = await self._connection.fetchrow(statement.sql, *statement.arguments(**values))
        return row is not None

    async def save(self, workflow: Workflow) -> None:
        statement = queries.SAVE_WORKFLOW
        state = {f"new_{name}": value for name, value in _state(workflow).items()}
        arguments = statement.arguments(**workflow.key._asdict(), **state)
        await self._connection.execute(statement.sql, *arguments)

    async def remove(self, key: WorkflowKey) -> None:
        statement = queries.REMOVE_WORKFLOW
        await self._connection.execute(statement.sql, *statement.arguments(**key._asdict()))

    async def add_version(self, version: WorkflowVersion) -> None:
        assert version.definition is not None
        statement = queries.ADD_VERSION
        arguments = statement.arguments(
            **version.key._asdict(),
            version=version.version,
            definition=version.definition.text,
            content_hash=version.content_hash,
            publish_time=version.publish_time,
        )
        await self._connection.execute(statement.sql, *arguments)

    async def claim_request(
        self, namespace: str, request_id: str, request_hash: str, now: datetime
    ) -> RequestRecord | None:
        claim, get = queries.CLAIM_REQUEST, queries.GET_REQUEST
        key = {"namespace": namespace, "request_id": request_id}
        arguments = claim.arguments(**key, request_hash=request_hash, create_time=now)
        if await self._connection.fetchrow(claim.sql, *arguments) is not None:
            return None
        row = await self._connection.fetchrow(get.sql, *get.arguments(**key))
        assert row is not None  # the insert waited for the transaction that stored the id, until it committed
        return RequestRecord(row["request_hash"], row["create_time"])


class PostgresWorkflowStore:
    """The port WorkflowStore. It writes to the primary; the consistency of a read selects its server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresWorkflowTransaction]:
        async with self._database.writer() as connection:
            transaction = PostgresWorkflowTransaction(connection)
            async with connection.transaction():
                yield transaction
            transaction.consistency_token = await self._database.consistency_token(connection)

    async def get(self, key: WorkflowKey, consistency: ReadConsistency) -> Workflow | None:
        rows = await self._fetch(queries.GET_WORKFLOW, consistency, **key._asdict())
        return _workflow(rows[0]) if rows else None

    async def list(
        self, where: WorkflowFilter, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowSummary]:
        rows = await self._fetch(
            queries.LIST_WORKFLOWS,
            consistency,
            namespace=where.namespace,
            after=where.after_workflow_id,
            prefix=where.workflow_id_prefix,
            prefix_end=where.workflow_id_prefix + PREFIX_END,
            statuses=sorted(where.statuses),
            owner=where.owner,
            labels=json.dumps(dict(where.labels)),
            count=limit,
        )
        return [_summary(row) for row in rows]

    async def list_versions(
        self, key: WorkflowKey, before: int, limit: int, consistency: ReadConsistency
    ) -> Sequence[WorkflowVersion]:
        rows = await self._fetch(
            queries.LIST_VERSIONS, consistency, **key._asdict(), before=before, count=limit
        )
        return [
            WorkflowVersion(key, row["version"], row["content_hash"], row["publish_time"], None)
            for row in rows
        ]

    async def resolve(
        self, queries_: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[VersionAnswer]:
        rows = await self._fetch(queries.RESOLVE_VERSIONS, consistency, **_columns(queries_))
        return [_answer(query.key, row) for query, row in zip(queries_, rows, strict=True)]

    async def definitions(
        self, versions: Sequence[VersionQuery], consistency: ReadConsistency
    ) -> Sequence[Definition]:
        rows = await self._fetch(queries.GET_DEFINITIONS, consistency, **_columns(versions))
        return [Definition(row["definition"], row["content_hash"]) for row in rows]

    async def forget_requests(self, before: datetime, limit: int) -> int:
        statement = queries.FORGET_REQUESTS
        async with taken_from(self._database.duties) as connection:
            done = await connection.execute(statement.sql, *statement.arguments(before=before, count=limit))
        return int(done.split()[-1])

    async def _fetch(self, statement: Statement, consistency: ReadConsistency, **values: Any) -> Any:
        arguments = statement.arguments(**values)
        return await self._database.read(
            lambda connection: connection.fetch(statement.sql, *arguments), consistency
        )


def _columns(versions: Iterable[VersionQuery]) -> dict[str, list[Any]]:
    asked = [(*each.key, each.version) for each in versions]
    namespaces, workflow_ids, numbers = zip(*asked, strict=True) if asked else ((), (), ())
    return {"namespaces": list(namespaces), "workflow_ids": list(workflow_ids), "versions": list(numbers)}


def _state(workflow: Workflow) -> dict[str, Any]:
    """Return the columns that a new revision changes."""
    return {
        "status": str(workflow.status),
        "draft": workflow.draft.text,
        "draft_hash": workflow.draft.content_hash,
        "revision": workflow.revision,
        "active_version": workflow.active_version,
        "active_hash": workflow.active_hash,
        "update_time": workflow.update_time,
    }


def _workflow(row: Any) -> Workflow:
    return Workflow(
        key=WorkflowKey(row["namespace"], row["workflow_id"]),
        status=WorkflowStatus(row["status"]),
        draft=Definition(row["draft"], row["draft_hash"]),
        revision=row["revision"],
        active_version=row["active_version"],
        active_hash=row["active_hash"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def _summary(row: Any) -> WorkflowSummary:
    return WorkflowSummary(
        key=WorkflowKey(row["namespace"], row["workflow_id"]),
        status=WorkflowStatus(row["status"]),
        etag=etag_of(row["create_time"], row["revision"]),
        active_version=row["active_version"],
        draft_changed=row["draft_changed"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        description=row["description"],
        owner=row["owner"],
        labels=json.loads(row["labels"]),
    )


def _answer(key: WorkflowKey, row: Any) -> VersionAnswer:
    if row["status"] is None:
        return VersionAnswer(None, 0, None)
    version = None
    if row["version"] is not None:
        version = WorkflowVersion(key, row["version"], row["content_hash"], row["publish_time"], None)
    return VersionAnswer(WorkflowStatus(row["status"]), row["active_version"], version)
