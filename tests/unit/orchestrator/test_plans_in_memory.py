"""Plans are compiled once, however many starts need them at the same time, and kept up to a number."""

import asyncio
from typing import Any

import pytest
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.ports.store import StoreUnavailableError
from execution_orchestrator.domain.plan import Plan


class DefinitionStore:
    """Saves definitions once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_down = False
        self.saved: list[int] = []

    async def save_definition(
        self, namespace: str, workflow_id: str, version: int, definition: bytes
    ) -> None:
        self.saved.append(version)
        await self.gate.wait()
        if self.is_down:
            raise StoreUnavailableError("it is down")


@pytest.fixture
def store() -> DefinitionStore:
    return DefinitionStore()


@pytest.fixture
def compiled() -> list[bytes]:
    """What has been compiled."""
    return []


@pytest.fixture
def plans(store: DefinitionStore, compiled: list[bytes]) -> Plans:
    def compile_plan(definition: bytes) -> Plan:
        compiled.append(definition)
        return Plan([])

    given: Any = store
    return Plans(given, compile_plan)


async def put(plans: Plans, version: int = 1) -> Plan:
    return await plans.put("default", "orders", version, b"version %d" % version)


async def test_starts_that_arrive_together_compile_a_version_once(
    plans: Plans, store: DefinitionStore, compiled: list[bytes]
) -> None:
    found = await asyncio.gather(*(put(plans) for _ in range(50)))

    assert compiled == [b"version 1"]
    assert store.saved == [1]
    assert {id(plan) for plan in found} == {id(await put(plans))}


async def test_a_start_that_gives_up_takes_the_plan_from_no_other(
    plans: Plans, store: DefinitionStore, compiled: list[bytes]
) -> None:
    store.gate.clear()
    first, second = asyncio.create_task(put(plans)), asyncio.create_task(put(plans))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    store.gate.set()

    assert isinstance(await second, Plan)
    assert first.cancelled()
    assert compiled == [b"version 1"]


async def test_a_save_that_failed_is_tried_again_by_the_next_start(
    plans: Plans, store: DefinitionStore, compiled: list[bytes]
) -> None:
    """A plan whose definition is not stored must not be used: another replica could not run on it."""
    store.is_down = True
    found = await asyncio.gather(put(plans), put(plans), return_exceptions=True)
    assert [type(each) for each in found] == [StoreUnavailableError, StoreUnavailableError]
    assert compiled == []

    store.is_down = False
    await put(plans)

    assert store.saved == [1, 1]


async def test_the_plan_that_was_used_longest_ago_is_forgotten_first(
    plans: Plans, compiled: list[bytes]
) -> None:
    plans._plans.max_entries = 2
    for version in (1, 1, 2, 1, 3, 1, 2):
        await put(plans, version)

    assert compiled == [b"version 1", b"version 2", b"version 3", b"version 2"]
