"""What is kept, where, and how long: definitions, request ids, drafts."""

import asyncio
from typing import Any

import pytest
from testkit import FakeClock, eventually
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.expiry import BATCH, PERIOD, forget_old_requests, keep_forgetting
from workflow_catalog.application.ports import VersionQuery
from workflow_catalog.application.versions import StartQuery, Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.errors import (
    StaleEtagError,
    StatusConflictError,
    WorkflowAlreadyExistsError,
    WorkflowNotFoundError,
)
from workflow_catalog.domain.workflow import Method, WorkflowKey

ORDERS = WorkflowKey("default", "orders")
SOUND = {"tasks": [{"id": "a", "type": "noop"}]}


async def test_a_definition_is_read_from_memory_then_from_the_cache_then_from_the_database(
    workflows: Workflows, store: MemoryWorkflowStore, cache: MemoryDefinitionCache
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    questions = [StartQuery(VersionQuery(ORDERS))]

    async def statements_of(versions: Versions) -> int:
        before = store.statements
        (answer,) = await versions.resolve(questions)
        assert answer.version is not None
        assert answer.version.definition is not None
        assert answer.version.definition.value == SOUND
        return store.statements - before

    cache.lose()
    first, second = Versions(store, cache), Versions(store, cache)
    assert await statements_of(first) == 2  # the status and the version, then the definition
    assert await statements_of(first) == 1  # from memory
    assert await statements_of(second) == 1  # from the cache
    cache.lose()
    assert await statements_of(first) == 1
    assert await statements_of(Versions(store, cache)) == 2


async def test_definitions_for_which_an_answer_has_no_room_are_not_read(
    workflows: Workflows,
    store: MemoryWorkflowStore,
    cache: MemoryDefinitionCache,
) -> None:
    """A thousand definitions of 1 MiB each would take a gigabyte, for an answer of 3 MiB."""
    keys = [WorkflowKey("default", f"flow-{number}") for number in range(8)]
    for key in keys:
        await workflows.create(key, SOUND | {"description": key.workflow_id + "x" * 1_000})
        await workflows.publish(key, "")
    cache.lose()
    bounded = Versions(store, cache, max_resolved_bytes=3_000, resolved_at_once=2)
    answers = await bounded.resolve([StartQuery(VersionQuery(key)) for key in keys])
    versions = [answer.version for answer in answers]
    assert [version is not None for version in versions] == [True] * 8
    has_definition = [version is not None and version.definition is not None for version in versions]

    assert has_definition == [True] * 4 + [False] * 4


async def test_request_ids_are_remembered_for_a_day(
    workflows: Workflows, store: MemoryWorkflowStore, clock: FakeClock
) -> None:
    await workflows.create(ORDERS, SOUND, "r-1")
    await clock.advance(24 * 3600)
    assert await forget_old_requests(store, clock) == 0
    await clock.advance(1)

    assert await forget_old_requests(store, clock) == 1
    with pytest.raises(WorkflowAlreadyExistsError):
        await workflows.create(ORDERS, SOUND, "r-1")


async def test_more_request_ids_than_one_statement_takes_are_forgotten(
    store: MemoryWorkflowStore, clock: FakeClock
) -> None:
    async with store.transaction() as transaction:
        for number in range(2 * BATCH + 1):
            await transaction.claim_request("default", f"r-{number}", "hash", clock.now())
    await clock.advance(25 * 3600)

    assert await forget_old_requests(store, clock) == 2 * BATCH + 1


async def test_forgetting_goes_on_after_the_database_was_away(
    store: MemoryWorkflowStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    async def away_at_first(*_: Any) -> int:
        calls.append(len(calls))
        if len(calls) == 1:
            raise ConnectionError("away")
        return 0

    monkeypatch.setattr(store, "forget_requests", away_at_first)
    forgetting = asyncio.create_task(keep_forgetting(store, clock))
    for _ in range(2):
        await eventually(lambda: clock.sleepers > 0)
        await clock.advance(PERIOD.total_seconds())
    await eventually(lambda: len(calls) == 2)
    forgetting.cancel()


async def test_a_draft_can_be_deleted_and_what_was_published_can_not(workflows: Workflows) -> None:
    etag = (await workflows.create(ORDERS, SOUND)).workflow.etag
    with pytest.raises(StaleEtagError):
        await workflows.delete(ORDERS, "7")
    await workflows.delete(ORDERS, etag)
    with pytest.raises(WorkflowNotFoundError):
        await workflows.delete(ORDERS, etag)
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")

    for method in (None, Method.DEACTIVATE, Method.ARCHIVE):
        if method is not None:
            await workflows.change_status(ORDERS, method)
        with pytest.raises(StatusConflictError, match="DeleteWorkflow is not possible"):
            await workflows.delete(ORDERS, "")
