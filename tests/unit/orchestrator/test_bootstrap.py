"""The loops of the service end when it stops."""

import asyncio
from contextlib import suppress

import pytest
from execution_orchestrator import bootstrap


async def test_a_duty_whose_cancellation_was_swallowed_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a library does whose answer comes in the same moment."""
    monkeypatch.setattr(bootstrap, "CANCEL_AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def duty() -> None:
        nonlocal swallowed
        while swallowed < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    loops = [asyncio.create_task(bootstrap._always("stubborn", duty)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await bootstrap._stop(loops)
    assert all(loop.cancelled() for loop in loops)
    assert swallowed >= 3
