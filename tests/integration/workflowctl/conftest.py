"""workflowctl as users run it: a process of its own, against a gateway in the test's loop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.gateway import FakeGateway


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int | None
    out: str
    err: str


Run = Callable[..., Awaitable[Ran]]
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


def write(path: Path, text: str) -> None:
    """Save a file within a coroutine of a test."""
    path.write_text(text)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    server = await fake.start()
    yield fake
    await server.stop(None)


@pytest.fixture
def ctl_process(fake: FakeGateway) -> Start:
    async def start(*arguments: str, address: str = "") -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workflowctl", *arguments),
            env={**os.environ, "WORKFLOW_GATEWAY": address or f"127.0.0.1:{fake.port}"},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            preexec_fn=_listen_to_signals,
        )

    return start


def _listen_to_signals() -> None:
    """Shells start commands in the background deaf to SIGINT, and nohup those deaf to SIGHUP.

    Their children inherit that, and so would the command that is tested.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def ctl(ctl_process: Start) -> Run:
    async def run(*arguments: str, stdin: str = "", address: str = "") -> Ran:
        process = await ctl_process(*arguments, address=address)
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
        return Ran(process.returncode, out.decode(), err.decode())

    return run
