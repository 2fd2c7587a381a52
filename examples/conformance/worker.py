"""The handlers that the conformance test of workers expects, in Python.

WORKFLOW_ADDRESS=127.0.0.1:7012 python -m examples.conformance.worker
"""

import asyncio
import os
from typing import Any

from workflow_sdk import TaskContext, TaskFailure, Worker, task

HEARTBEAT_SECONDS = 0.25


@task("conformance.echo")
async def echo(input: Any) -> Any:
    """Return the input."""
    return input


@task("conformance.fail")
async def fail(input: dict[str, str]) -> None:
    """Fail with the type and the message of the input."""
    raise TaskFailure(input["message"], type=input["type"])


@task("conformance.wait")
async def wait(input: Any, context: TaskContext) -> None:
    """Send heartbeats until cancelled."""
    while True:
        context.heartbeat()
        await asyncio.sleep(HEARTBEAT_SECONDS)


if __name__ == "__main__":
    Worker(os.environ["WORKFLOW_ADDRESS"], tasks=[echo, fail, wait], slots=4).run_until_signalled()
