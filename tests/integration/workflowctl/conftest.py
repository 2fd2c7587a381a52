"""workflowctl as users run it: a process of its own, against a gateway in the test's loop."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.integration.workflowctl.fakes import FakeGateway


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int | None
    out: str
    err: str


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    server = await fake.start()
    yield fake
    await server.stop(None)


@pytest.fixture
def ctl(fake: FakeGateway) -> Run:
    async def run(*arguments: str, stdin: str = "", address: str = "") -> Ran:
        environment = {**os.environ, "WORKFLOW_GATEWAY": address or f"127.0.0.1:{fake.port}"}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workflowctl", *arguments),
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
        return Ran(process.returncode, out.decode(), err.decode())

    return run
