"""The use cases, on the store in memory."""

from __future__ import annotations

from typing import Any

import pytest
from service_kit.data.consistency import EVENTUAL, STRONG
from testkit import FakeClock
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.ports import VersionQuery
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import StartQuery, Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.comparison import ChangeClass
from workflow_catalog.domain.errors import (
    DefinitionInvalidError,
    RequestIdReusedError,
    StaleEtagError,
    StatusConflictError,
    VersionNotFoundError,
    WorkflowAlreadyExistsError,
    WorkflowNotFoundError,
)
from workflow_catalog.domain.limits import MAX_DRAFT_ATTEMPTS
from workflow_catalog.domain.workflow import Method, WorkflowKey

ORDERS = WorkflowKey("default", "orders")
SOUND = {"tasks": [{"id": "a", "type": "noop"}]}
OTHER = {"tasks": [{"id": "b", "type": "noop"}]}
BROKEN = {"tasks": [{"id": "a", "type": "noop", "needs": ["b"]}]}


async def test_a_broken_draft_can_be_saved_but_not_published(
    workflows: Workflows, store: MemoryWorkflowStore
) -> None:
    created = await workflows.create(ORDERS, BROKEN)

    with pytest.raises(DefinitionInvalidError, match=r"tasks\[0\].needs\[0\]: `b` names no task"):
        await workflows.publish(ORDERS, "")
    assert await workflows.get(ORDERS, STRONG) == created.workflow
    assert await store.definitions([], STRONG) == []


async def test_an_id_is_taken_once(workflows: Workflows) -> None:
    await workflows.create(ORDERS, SOUND)
    with pytest.raises(WorkflowAlreadyExistsError):
        await workflows.create(ORDERS, SOUND)
    await workflows.create(WorkflowKey("other", "orders"), SOUND)


async def test_a_repeated_create_gets_the_first_answer_whatever_happened_since(
    workflows: Workflows, clock: FakeClock
) -> None:
    first = await workflows.create(ORDERS, SOUND, "r-1")
    await workflows.publish(ORDERS, "")
    await clock.advance(60)

    assert (await workflows.create(ORDERS, SOUND, "r-1")).workflow == first.workflow
    assert (await workflows.get(ORDERS, STRONG)).status == "ACTIVE"


@pytest.mark.parametrize(("key", "definition"), [(ORDERS, OTHER), (WorkflowKey("default", "another"), SOUND)])
async def test_a_request_id_is_for_one_request(
    workflows: Workflows, key: WorkflowKey, definition: dict[str, Any]
) -> None:
    await workflows.create(ORDERS, SOUND, "r-1")

    with pytest.raises(RequestIdReusedError, match="use a new one"):
        await workflows.create(key, definition, "r-1")
    with pytest.raises(WorkflowNotFoundError):
        await workflows.get(WorkflowKey("default", "another"), STRONG)


async def test_a_refused_create_does_not_use_up_its_request_id(workflows: Workflows) -> None:
    await workflows.create(ORDERS, SOUND)
    with pytest.raises(WorkflowAlreadyExistsError):
        await workflows.create(ORDERS, SOUND, "r-1")
    await workflows.create(WorkflowKey("default", "another"), SOUND, "r-1")


async def test_what_the_replica_does_not_have_is_asked_of_the_primary(
    workflows: Workflows, versions: Versions, store: MemoryWorkflowStore
) -> None:
    store.hold_replica()
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    assert (await workflows.get(ORDERS, EVENTUAL)).active_version == 1
    version = await versions.get(VersionQuery(ORDERS), EVENTUAL)

    assert version.definition is not None
    assert version.definition.value == SOUND


async def test_what_the_replica_has_is_not_asked_of_the_primary(
    workflows: Workflows, store: MemoryWorkflowStore
) -> None:
    await workflows.create(ORDERS, SOUND)
    store.hold_replica()
    await workflows.publish(ORDERS, "")
    assert (await workflows.get(ORDERS, EVENTUAL)).active_version == 0
    store.release_replica()

    assert (await workflows.get(ORDERS, EVENTUAL)).active_version == 1


async def test_a_start_is_resolved_on_the_primary(
    workflows: Workflows, versions: Versions, store: MemoryWorkflowStore
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    store.hold_replica()
    await workflows.change_status(ORDERS, Method.DEACTIVATE)
    (answer,) = await versions.resolve([StartQuery(VersionQuery(ORDERS))])

    assert answer.status == "INACTIVE"


async def test_a_batch_of_starts_costs_one_statement_once_the_definition_is_in_memory(
    workflows: Workflows, versions: Versions, store: MemoryWorkflowStore
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    questions = [StartQuery(VersionQuery(ORDERS)), StartQuery(VersionQuery(ORDERS, 1))] * 50
    await versions.resolve(questions)
    before = store.statements
    answers = await versions.resolve(questions)

    assert store.statements == before + 1
    assert all(answer.version and answer.version.definition for answer in answers)


async def test_a_definition_that_the_caller_has_is_left_out(
    workflows: Workflows, versions: Versions, store: MemoryWorkflowStore
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    before = store.statements

    known, unknown = await versions.resolve(
        [StartQuery(VersionQuery(ORDERS), 1), StartQuery(VersionQuery(ORDERS), 2)]
    )

    assert known.version is not None
    assert known.version.definition is None
    assert unknown.version is not None
    assert unknown.version.definition is not None
    assert store.statements == before + 2


async def test_a_version_that_does_not_exist_is_told_from_a_workflow_that_does_not(
    workflows: Workflows, versions: Versions
) -> None:
    with pytest.raises(WorkflowNotFoundError, match="another one with ListWorkflows"):
        await versions.get(VersionQuery(ORDERS), EVENTUAL)
    await workflows.create(ORDERS, SOUND)
    with pytest.raises(VersionNotFoundError, match="was never published: call PublishWorkflow"):
        await versions.get(VersionQuery(ORDERS), EVENTUAL)
    await workflows.publish(ORDERS, "")

    with pytest.raises(VersionNotFoundError, match="has no version 2: the last one is 1"):
        await versions.get(VersionQuery(ORDERS, 2), EVENTUAL)


async def test_versions_keep_what_was_published_while_the_draft_goes_on(
    workflows: Workflows, versions: Versions
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    updated = await workflows.update(ORDERS, OTHER, [], "")
    assert updated.workflow.draft_changed
    active = await versions.get(VersionQuery(ORDERS), STRONG)

    assert active.definition is not None
    assert active.definition.value == SOUND


async def test_publishing_an_unchanged_draft_changes_nothing(workflows: Workflows, clock: FakeClock) -> None:
    await workflows.create(ORDERS, SOUND)
    first, _ = await workflows.publish(ORDERS, "")
    await clock.advance(60)
    again, report = await workflows.publish(ORDERS, "")

    assert again.workflow == first.workflow
    assert report.difference.change_class is ChangeClass.NONE
    assert report.base_version == 1


async def test_a_stale_etag_changes_nothing(workflows: Workflows) -> None:
    etag = (await workflows.create(ORDERS, SOUND)).workflow.etag
    changed = (await workflows.update(ORDERS, OTHER, [], etag)).workflow

    with pytest.raises(StaleEtagError):
        await workflows.update(ORDERS, SOUND, [], etag)
    with pytest.raises(StaleEtagError):
        await workflows.publish(ORDERS, etag)
    assert await workflows.get(ORDERS, STRONG) == changed


async def test_an_archived_workflow_is_not_edited(workflows: Workflows) -> None:
    await workflows.create(ORDERS, SOUND)
    archived = (await workflows.change_status(ORDERS, Method.ARCHIVE)).workflow

    with pytest.raises(StatusConflictError, match="permanently read-only"):
        await workflows.update(ORDERS, OTHER, [], "")
    with pytest.raises(StatusConflictError, match="permanently read-only"):
        await workflows.publish(ORDERS, "")
    assert await workflows.get(ORDERS, STRONG) == archived


async def test_a_draft_that_changes_while_it_is_checked_is_checked_again(
    workflows: Workflows, monkeypatch: pytest.MonkeyPatch, store: MemoryWorkflowStore
) -> None:
    """What is published is what was checked: here a broken draft comes in during the first check."""
    await workflows.create(ORDERS, SOUND)
    transaction, begun = store.transaction, []

    def change_before_the_first_transaction() -> Any:
        if not begun:
            begun.append(1)
            return _Changing(workflows, transaction)
        return transaction()

    monkeypatch.setattr(store, "transaction", change_before_the_first_transaction)
    with pytest.raises(DefinitionInvalidError):
        await workflows.publish(ORDERS, "")
    assert (await workflows.get(ORDERS, STRONG)).active_version == 0


class _Changing:
    """A transaction that begins after somebody else has saved a broken draft."""

    def __init__(self, workflows: Workflows, transaction: Any) -> None:
        self._workflows = workflows
        self._real = transaction()

    async def __aenter__(self) -> Any:
        await self._workflows.update(ORDERS, BROKEN, [], "")
        return await self._real.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await self._real.__aexit__(*error)


async def test_a_draft_that_never_rests_is_not_published(
    workflows: Workflows, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    make, checks = reports.make, list[int]()

    async def check_while_somebody_edits(*arguments: Any, **options: Any) -> Any:
        checks.append(len(checks))
        await workflows.update(ORDERS, {**SOUND, "description": str(checks)}, [], "")
        return await make(*arguments, **options)

    monkeypatch.setattr(reports, "make", check_while_somebody_edits)
    with pytest.raises(StaleEtagError):
        await workflows.publish(ORDERS, "")
    assert len(checks) == MAX_DRAFT_ATTEMPTS
