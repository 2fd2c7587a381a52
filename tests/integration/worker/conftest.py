import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from testkit.ports import free_ports
from workflow_sdk.testing import FakeOrchestrator

ROOT = Path(__file__).parents[3]


@dataclass
class WorkerProcess:
    """`python -m workflow_worker serve`, or another program, as a process."""

    process: asyncio.subprocess.Process
    http_url: str
    log: Path

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return await client.get(self.http_url + path)
            except httpx.ConnectError as error:
                raise AssertionError(f"not listening yet: {self.log.read_text()}") from error

    async def ended(self, timeout: float = 20.0) -> int:
        async with asyncio.timeout(timeout):
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


StartProcess = Callable[..., Awaitable[WorkerProcess]]


@pytest.fixture
async def orchestrator() -> AsyncIterator[FakeOrchestrator]:
    orchestrator = FakeOrchestrator()
    await orchestrator.start()
    yield orchestrator
    await orchestrator.stop()


@pytest.fixture
async def start_process(orchestrator: FakeOrchestrator, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts worker processes; settings are keyword arguments."""
    started: list[WorkerProcess] = []

    async def start(*program: str, **settings: str) -> WorkerProcess:
        port = free_ports(1)[0]
        log = tmp_path / f"worker-{len(started)}.log"
        settings = {
            "ORCHESTRATOR_ADDRESS": orchestrator.address,
            "HTTP_LISTEN": f"127.0.0.1:{port}",
            "PYTHONPATH": str(ROOT),
        } | settings
        arguments = program or ("-m", "workflow_worker", "serve")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env=os.environ | settings, stdout=output, stderr=output, cwd=ROOT
            )
        started.append(WorkerProcess(process, f"http://127.0.0.1:{port}", log))
        return started[-1]

    yield start
    for worker in started:
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        await worker.process.wait()
