"""Wait for a condition instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


async def eventually(
    check: Callable[[], Result | Awaitable[Result]], timeout: float = 5.0, interval: float = 0.01
) -> Result:
    """Call `check` until it returns without raising AssertionError, and return its result.

    A result of False counts as a failed assertion. Raise any other exception at once, and AssertionError with
    the last failure after the time-out. Times are in seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            outcome = check()
            result: Result = await outcome if inspect.isawaitable(outcome) else outcome
            if result is False:
                raise AssertionError("the check returned False")
        except AssertionError as error:
            if time.monotonic() >= deadline:
                raise AssertionError(f"still not so after {timeout:g} s: {error}") from error
            await asyncio.sleep(interval)
        else:
            return result
