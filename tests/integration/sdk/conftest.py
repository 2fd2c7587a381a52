import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from workflow_sdk import Client, Worker
from workflow_sdk.testing import FakeGateway, FakeOrchestrator


@dataclass
class RunningWorker:
    """A worker in this process, and the way to stop it."""

    worker: Worker
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def drained(self, timeout: float = 20.0) -> None:
        """Tell it to stop and wait until it has."""
        self.stop.set()
        async with asyncio.timeout(timeout):
            await self.task


StartWorker = Callable[..., Awaitable[RunningWorker]]


@pytest.fixture
async def orchestrator() -> AsyncIterator[FakeOrchestrator]:
    orchestrator = FakeOrchestrator()
    await orchestrator.start()
    yield orchestrator
    await orchestrator.stop()


@pytest.fixture
async def start_worker(orchestrator: FakeOrchestrator) -> AsyncIterator[StartWorker]:
    """Starts workers on the fake orchestrator; they are stopped at the end of the test."""
    workers: list[RunningWorker] = []

    async def start(*tasks: Callable[..., Any], **options: Any) -> RunningWorker:
        address = options.pop("address", orchestrator.address)
        worker = Worker(address, tasks=tasks, **({"grace": 0.0} | options))
        stop = asyncio.Event()
        running = RunningWorker(worker, stop, asyncio.create_task(worker.run(stop)))
        workers.append(running)
        return running

    yield start
    for running in workers:
        running.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running.task


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    gateway = FakeGateway()
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with Client.connect(gateway.address, "shop", timeout=5) as client:
        yield client
