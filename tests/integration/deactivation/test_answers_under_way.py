"""An answer of the catalog that was under way at a deactivation is good for no later start."""

import asyncio
from typing import Any

import pytest
from testkit import eventually

from tests.integration.deactivation.conftest import WORKFLOW, Stack
from tests.integration.orchestrator.service import Service, refusal, status_of


class HeldAnswers:
    """Lets the catalog answer an orchestrator, and holds the answers back until it is told."""

    def __init__(self, service: Service) -> None:
        servicer: Any = service.orchestrator.executions
        stub = servicer._starts._catalog._stub
        self._ask = stub.BatchGetWorkflowVersions
        stub.BatchGetWorkflowVersions = self._ask_and_hold
        self._door = servicer._starts._door
        self.answered = 0
        self.gate = asyncio.Event()

    async def _ask_and_hold(self, *arguments: Any, **options: Any) -> Any:
        answer = await self._ask(*arguments, **options)
        self.answered += 1
        await self.gate.wait()
        return answer

    def start_waits(self) -> bool:
        """Return whether a start waits for the answer that is held back, before it asks itself."""
        return len(self._door) == 1


@pytest.mark.parametrize("what", ["deactivate", "archive"])
async def test_a_start_never_shares_an_answer_that_was_asked_for_before_it_was_sent(
    stack: Stack, what: str
) -> None:
    await stack.publish()
    service = stack.orchestrators[0]
    held = HeldAnswers(service)
    before = asyncio.create_task(service.start({}, WORKFLOW))
    await eventually(lambda: held.answered == 1)
    await getattr(stack, what)()
    after = asyncio.create_task(refusal(service.start({}, WORKFLOW)))
    await eventually(held.start_waits)

    held.gate.set()

    assert status_of(await before) == "PENDING"
    assert (await after).reason == "WORKFLOW_NOT_ACTIVE"


async def test_an_activation_is_seen_while_an_older_answer_is_under_way(stack: Stack) -> None:
    await stack.publish()
    await stack.deactivate()
    service = stack.orchestrators[0]
    held = HeldAnswers(service)
    before = asyncio.create_task(refusal(service.start({}, WORKFLOW)))
    await eventually(lambda: held.answered == 1)
    await stack.activate()
    after = asyncio.create_task(service.start({}, WORKFLOW))
    await eventually(held.start_waits)

    held.gate.set()

    assert (await before).reason == "WORKFLOW_NOT_ACTIVE"
    assert status_of(await after) == "PENDING"
