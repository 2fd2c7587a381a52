"""The use cases of workflows: create, edit, publish, deactivate, activate, archive, delete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from service_kit.data.consistency import STRONG, ReadConsistency
from service_kit.tools.clock import Clock

from workflow_catalog.application.ports import (
    WorkflowFilter,
    WorkflowStore,
    WorkflowSummary,
    WorkflowTransaction,
)
from workflow_catalog.application.reports import Report, Reports
from workflow_catalog.domain import workflow as rules
from workflow_catalog.domain.definition import Definition, Json
from workflow_catalog.domain.errors import (
    DefinitionInvalidError,
    RequestIdReusedError,
    StaleEtagError,
    WorkflowAlreadyExistsError,
    WorkflowNotFoundError,
)
from workflow_catalog.domain.limits import MAX_DRAFT_ATTEMPTS
from workflow_catalog.domain.problem import Problem
from workflow_catalog.domain.workflow import Method, Workflow, WorkflowKey

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Changed:
    """A workflow after a mutation, and the token with which a later read includes the mutation."""

    workflow: Workflow
    consistency_token: str


class Workflows:
    """The use cases. Every mutation is one transaction, committed before it returns."""

    def __init__(self, store: WorkflowStore, reports: Reports, clock: Clock) -> None:
        self._store = store
        self._reports = reports
        self._clock = clock

    async def create(self, key: WorkflowKey, definition: dict[str, Json], request_id: str = "") -> Changed:
        """Save a new Draft. With a request id the call may be repeated: it returns the first answer again.

        Raise WorkflowAlreadyExistsError, RequestIdReusedError, or an error of `Definition.from_json`.
        """
        draft = await asyncio.to_thread(Definition.from_json, definition)
        created = rules.create(key, draft, self._clock.now())
        async with self._store.transaction() as transaction:
            replayed = await self._replayed(transaction, created, request_id) if request_id else None
            if replayed is None and not await transaction.add(created):
                raise WorkflowAlreadyExistsError(*key)
        event = "workflow_create_repeated" if replayed else "workflow_created"
        log.info(event, namespace=key.namespace, workflow_id=key.workflow_id)
        return Changed(replayed or created, transaction.consistency_token)

    @staticmethod
    async def _replayed(
        transaction: WorkflowTransaction, created: Workflow, request_id: str
    ) -> Workflow | None:
        """Return the first answer to this request, or None if the request id is new.

        The first answer differs from `created` only in its time.
        """
        key, draft = created.key, created.draft
        request_hash = hashlib.sha256(f"{key.workflow_id}\n{draft.content_hash}".encode()).hexdigest()
        earlier = await transaction.claim_request(
            key.namespace, request_id, request_hash, created.create_time
        )
        if earlier is None:
            return None
        if earlier.request_hash != request_hash:
            raise RequestIdReusedError(request_id)
        return rules.create(key, draft, earlier.create_time)

    async def get(self, key: WorkflowKey, consistency: ReadConsistency) -> Workflow:
        """Return a workflow with its draft. If the replica does not have it, ask the primary.

        Raise WorkflowNotFoundError if it does not exist.
        """
        workflow = await self._store.get(key, consistency)
        if workflow is None and not consistency.strong:
            workflow = await self._store.get(key, STRONG)
        if workflow is None:
            raise WorkflowNotFoundError(*key)
        return workflow

    async def list(
        self, where: WorkflowFilter, page_size: int, consistency: ReadConsistency
    ) -> tuple[Sequence[WorkflowSummary], bool]:
        """Return a page of workflows by id, and whether there are more."""
        found = await self._store.list(where, page_size + 1, consistency)
        return found[:page_size], len(found) > page_size

    async def update(
        self, key: WorkflowKey, definition: dict[str, Json], paths: Sequence[str], etag: str
    ) -> Changed:
        """Replace the draft, or the fields of it that `paths` name. An equal draft changes nothing.

        Build the new draft before the transaction, because the transaction locks the row. If the draft
        changes in between, merge the fields again. Raise WorkflowNotFoundError, StaleEtagError,
        StatusConflictError, or an error of `Definition`.
        """
        for _ in range(MAX_DRAFT_ATTEMPTS):
            base, draft = await self._next_draft(key, definition, paths, etag)
            async with self._store.transaction() as transaction:
                workflow = await self._find(transaction, key, etag)
                if base is not None and base != workflow.draft:
                    continue
                updated = rules.update(workflow, draft, self._clock.now())
                if updated is not workflow:
                    await transaction.save(updated)
            log.info("workflow_updated", namespace=key.namespace, workflow_id=key.workflow_id)
            return Changed(updated, transaction.consistency_token)
        raise StaleEtagError(key.workflow_id)

    async def _next_draft(
        self, key: WorkflowKey, definition: dict[str, Json], paths: Sequence[str], etag: str
    ) -> tuple[Definition | None, Definition]:
        """Return the current draft (None if `definition` replaces it as a whole), and the new draft."""
        if not paths:
            return None, await asyncio.to_thread(Definition.from_json, definition)
        workflow = await self._read(key, etag)
        merged = await asyncio.to_thread(workflow.draft.with_fields_of, definition, paths)
        return workflow.draft, merged

    async def validate(
        self, key: WorkflowKey, definition: dict[str, Json] | None, broken_rules: Sequence[Problem] = ()
    ) -> Report:
        """Report what a publish of `definition` would find and change. None means the draft. Write nothing.

        Raise WorkflowNotFoundError if there is neither a definition nor a draft, TooManyChecksError, or an
        error of `Definition.from_json`.
        """
        workflow = await self._store.get(key, STRONG)
        if definition is not None:
            candidate = await asyncio.to_thread(Definition.from_json, definition)
            return await self._reports.make(key, candidate, workflow, broken_rules)
        if workflow is None:
            raise WorkflowNotFoundError(*key)
        return await self._reports.make(key, workflow.draft, workflow)

    async def preview(self, key: WorkflowKey, etag: str) -> tuple[Workflow, Report]:
        """Report what `publish` would find and change. Write nothing.

        Raise WorkflowNotFoundError, StaleEtagError or StatusConflictError if `publish` would raise it, and
        TooManyChecksError if too many checks wait.
        """
        workflow = await self._publishable(key, etag)
        return workflow, await self._reports.make(key, workflow.draft, workflow)

    async def publish(self, key: WorkflowKey, etag: str) -> tuple[Changed, Report]:
        """Check the draft, freeze it as the next version, and make this version active. May be repeated.

        The check runs before the transaction. If the draft changes in between, check it again. Raise
        WorkflowNotFoundError, StaleEtagError, StatusConflictError, DefinitionInvalidError or
        TooManyChecksError.
        """
        for _ in range(MAX_DRAFT_ATTEMPTS):
            checked, report = await self._checked(key, etag)
            async with self._store.transaction() as transaction:
                workflow = await self._find(transaction, key, etag)
                if (workflow.draft, workflow.active_version) != (checked.draft, checked.active_version):
                    continue
                published, version = rules.publish(workflow, self._clock.now())
                if version is not None:
                    await transaction.add_version(version)
                    await transaction.save(published)
            event = "workflow_published" if version else "workflow_publish_repeated"
            log.info(
                event, namespace=key.namespace, workflow_id=key.workflow_id, version=published.active_version
            )
            return Changed(published, transaction.consistency_token), report
        raise StaleEtagError(key.workflow_id)

    async def delete(self, key: WorkflowKey, etag: str) -> None:
        """Remove a draft that was never published.

        Raise WorkflowNotFoundError (also if the call is repeated), StaleEtagError or StatusConflictError.
        """
        async with self._store.transaction() as transaction:
            workflow = await self._find(transaction, key, etag)
            workflow.check_removal()
            await transaction.remove(key)
        log.info("workflow_deleted", namespace=key.namespace, workflow_id=key.workflow_id)

    async def change_status(self, key: WorkflowKey, method: Method) -> Changed:
        """Deactivate, activate or archive a workflow. May be repeated.

        Raise WorkflowNotFoundError or StatusConflictError.
        """
        async with self._store.transaction() as transaction:
            workflow = await self._find(transaction, key)
            changed = rules.change_status(workflow, method, self._clock.now())
            if changed is not workflow:
                await transaction.save(changed)
        log.info(
            "workflow_status_changed",
            namespace=key.namespace,
            workflow_id=key.workflow_id,
            method=method,
            status=changed.status,
        )
        return Changed(changed, transaction.consistency_token)

    async def _checked(self, key: WorkflowKey, etag: str) -> tuple[Workflow, Report]:
        """Return the current workflow after checking its draft. Do not check a published draft again."""
        workflow = await self._publishable(key, etag)
        if not workflow.draft_changed:
            return workflow, Report(workflow.draft.content_hash, base_version=workflow.active_version)
        report = await self._reports.make(key, workflow.draft, workflow, publishes=True)
        if report.errors:
            raise DefinitionInvalidError(key.workflow_id, report.errors)
        return workflow, report

    async def _publishable(self, key: WorkflowKey, etag: str) -> Workflow:
        workflow = await self._read(key, etag)
        workflow.follow(Method.PUBLISH)
        return workflow

    async def _read(self, key: WorkflowKey, etag: str) -> Workflow:
        workflow = await self._store.get(key, STRONG)
        if workflow is None:
            raise WorkflowNotFoundError(*key)
        workflow.check_etag(etag)
        return workflow

    @staticmethod
    async def _find(transaction: WorkflowTransaction, key: WorkflowKey, etag: str = "") -> Workflow:
        workflow = await transaction.find(key)
        if workflow is None:
            raise WorkflowNotFoundError(*key)
        workflow.check_etag(etag)
        return workflow
