"""`noop`, `sleep` and `fail`: handlers for first steps, tests and benchmarks."""

from __future__ import annotations

import asyncio
from typing import Any

from workflow_sdk import NonRetryableError, TaskContext, TaskFailure, task

MAX_SLEEP_SECONDS = 86_400.0


@task("noop")
async def noop(input: Any) -> Any:
    """Return the input."""
    return input


@task("sleep")
async def sleep(input: Any) -> Any:
    """Wait for `seconds` (0 to 86,400), then return the input."""
    seconds = input.get("seconds") if isinstance(input, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise NonRetryableError(
            'sleep needs a number of seconds, such as {"seconds": 0.1}', type="InvalidInput"
        )
    if not 0 <= seconds <= MAX_SLEEP_SECONDS:
        message = f"`seconds` must be from 0 to {MAX_SLEEP_SECONDS:g}, not {seconds}"
        raise NonRetryableError(message, type="InvalidInput")
    await asyncio.sleep(seconds)
    return input


@task("fail")
async def fail(input: Any, context: TaskContext) -> Any:
    """Fail with the input's `type`, `message` and `non_retryable`; succeed from attempt `until_attempt`."""
    wanted = input if isinstance(input, dict) else {}
    until = wanted.get("until_attempt")
    if isinstance(until, int) and context.attempt >= until:
        return {"attempt": context.attempt}
    raise TaskFailure(
        str(wanted.get("message", "failed, because the input said so")),
        type=str(wanted.get("type", "Failed")),
        non_retryable=bool(wanted.get("non_retryable", False)),
    )
