"""Definitions that take long to parse or to check hold no row's lock, and hold up nobody without a limit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from service_kit.data.consistency import STRONG
from testkit import FakeClock, eventually
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application import reports as reports_module
from workflow_catalog.application import versions as versions_module
from workflow_catalog.application.ports import VersionQuery
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows
from workflow_catalog.domain.comparison import UNCHANGED
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import StaleEtagError, TooManyChecksError
from workflow_catalog.domain.limits import MAX_DRAFT_ATTEMPTS, MAX_WAITING_CHECKS
from workflow_catalog.domain.workflow import WorkflowKey

ORDERS = WorkflowKey("default", "orders")
SOUND = {"tasks": [{"id": "a", "type": "noop"}]}


async def test_an_etag_of_a_deleted_draft_does_not_fit_a_draft_that_was_created_since(
    workflows: Workflows, clock: FakeClock
) -> None:
    first = (await workflows.create(ORDERS, SOUND)).workflow
    await workflows.delete(ORDERS, "")
    await clock.advance(1)
    await workflows.create(ORDERS, {**SOUND, "owner": "somebody else"})

    with pytest.raises(StaleEtagError):
        await workflows.update(ORDERS, SOUND, [], first.etag)
    with pytest.raises(StaleEtagError):
        await workflows.delete(ORDERS, first.etag)


@pytest.mark.parametrize("paths", [[], ["owner"]])
async def test_an_update_parses_the_draft_before_its_transaction(
    workflows: Workflows, store: MemoryWorkflowStore, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    """A transaction holds the lock of the row and one of few connections."""
    await workflows.create(ORDERS, SOUND)
    parse, begin = Definition.from_json, store.transaction
    order: list[str] = []

    def parse_noted(value: Any) -> Definition:
        order.append("parse")
        return parse(value)

    @contextlib.asynccontextmanager
    async def begin_noted() -> AsyncIterator[Any]:
        order.append("begin")
        async with begin() as transaction:
            yield transaction

    monkeypatch.setattr(Definition, "from_json", parse_noted)
    monkeypatch.setattr(store, "transaction", begin_noted)
    updated = await workflows.update(ORDERS, {**SOUND, "owner": "shop"}, paths, "*")
    assert updated.workflow.draft.value["owner"] == "shop"
    assert order == ["parse", "begin"]


async def test_fields_are_merged_into_the_draft_that_is_there_when_they_are_saved(
    workflows: Workflows, store: MemoryWorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else changes another field between the merge and the transaction."""
    await workflows.create(ORDERS, SOUND)
    begin, others = store.transaction, [{"owner": "shop"}]

    @contextlib.asynccontextmanager
    async def begin_after_somebody_else() -> AsyncIterator[Any]:
        if others:
            await workflows.update(ORDERS, others.pop(), ["owner"], "*")
        async with begin() as transaction:
            yield transaction

    monkeypatch.setattr(store, "transaction", begin_after_somebody_else)
    await workflows.update(ORDERS, {"description": "new"}, ["description"], "*")
    draft = (await workflows.get(ORDERS, STRONG)).draft.value
    assert (draft["owner"], draft["description"]) == ("shop", "new")


async def test_an_update_of_a_draft_that_never_rests_ends(
    workflows: Workflows, store: MemoryWorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    begin = store.transaction
    numbers = iter(range(100))

    @contextlib.asynccontextmanager
    async def begin_after_somebody_else() -> AsyncIterator[Any]:
        async with begin() as transaction:
            workflow = await transaction.find(ORDERS)
            assert workflow is not None
            draft = Definition.from_json({**SOUND, "owner": f"shop {next(numbers)}"})
            await transaction.save(replace(workflow, draft=draft))
        async with begin() as transaction:
            yield transaction

    monkeypatch.setattr(store, "transaction", begin_after_somebody_else)
    with pytest.raises(StaleEtagError):
        await workflows.update(ORDERS, {"description": "new"}, ["description"], "*")
    assert next(numbers) == MAX_DRAFT_ATTEMPTS


class Blocked:
    """A check that ends when the test says so; it counts how many run."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.running = 0

    def __call__(self, *_: Any) -> Any:
        self.running += 1
        self.release.wait(60)
        return (), UNCHANGED

    def assert_running(self, count: int) -> None:
        assert self.running == count


async def test_a_publish_does_not_wait_for_calls_that_only_look(
    workflows: Workflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    check = reports_module._check
    blocked = Blocked()
    monkeypatch.setattr(reports_module, "_check", blocked)
    looks = [asyncio.create_task(workflows.validate(ORDERS, None)) for _ in range(MAX_WAITING_CHECKS)]
    looks.append(asyncio.create_task(workflows.preview(ORDERS, "")))

    try:
        await eventually(lambda: blocked.assert_running(1))
        monkeypatch.setattr(reports_module, "_check", check)
        published, _ = await asyncio.wait_for(workflows.publish(ORDERS, ""), 30)
        assert published.workflow.active_version == 1
    finally:
        blocked.release.set()
        await asyncio.gather(*looks)


async def test_a_check_that_would_wait_behind_too_many_is_refused(
    workflows: Workflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    blocked = Blocked()
    monkeypatch.setattr(reports_module, "_check", blocked)
    looks = [asyncio.create_task(workflows.validate(ORDERS, None)) for _ in range(MAX_WAITING_CHECKS + 1)]
    try:
        await eventually(lambda: blocked.assert_running(1))
        with pytest.raises(TooManyChecksError, match="repeat the call in a few seconds"):
            await workflows.validate(ORDERS, None)
    finally:
        blocked.release.set()
        await asyncio.gather(*looks)

    await workflows.validate(ORDERS, None)  # there is room again


async def test_a_caller_that_gives_up_makes_room_for_another_one(
    workflows: Workflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    blocked = Blocked()
    monkeypatch.setattr(reports_module, "_check", blocked)
    looks = [asyncio.create_task(workflows.validate(ORDERS, None)) for _ in range(MAX_WAITING_CHECKS + 1)]

    try:
        await eventually(lambda: blocked.assert_running(1))
        looks.pop().cancel()
        await asyncio.sleep(0)
        looks.append(asyncio.create_task(workflows.validate(ORDERS, None)))
    finally:
        blocked.release.set()
        await asyncio.gather(*looks)


async def test_comparisons_wait_for_one_another_with_the_same_limit(
    workflows: Workflows, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workflows.create(ORDERS, SOUND)
    await workflows.publish(ORDERS, "")
    blocked = Blocked()
    monkeypatch.setattr(versions_module, "compare", blocked)
    base = VersionQuery(ORDERS, 1)
    calls = [asyncio.create_task(versions.compare(base, None, STRONG)) for _ in range(MAX_WAITING_CHECKS + 1)]

    try:
        await eventually(lambda: blocked.assert_running(1))
        with pytest.raises(TooManyChecksError):
            await versions.compare(base, None, STRONG)
    finally:
        blocked.release.set()
        await asyncio.gather(*calls)

    assert blocked.running == MAX_WAITING_CHECKS + 1
