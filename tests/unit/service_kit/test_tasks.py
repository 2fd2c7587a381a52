"""Background tasks end when they are told to."""

import asyncio
from contextlib import suppress

from service_kit.tools.tasks import cancel_all


async def test_a_task_whose_cancellation_was_swallowed_ends_all_the_same() -> None:
    """As a library does whose answer comes in the same moment."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(stubborn()) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_all(tasks, again_after=0.01)
    assert all(task.cancelled() for task in tasks)
    assert swallowed >= 3


async def test_tasks_that_have_ended_or_failed_are_no_trouble() -> None:
    async def fail() -> None:
        raise ValueError("so")

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, done])
    await cancel_all([failed, done])
    await cancel_all([])
    assert isinstance(failed.exception(), ValueError)
