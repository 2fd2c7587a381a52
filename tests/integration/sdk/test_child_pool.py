"""What a worker does while it can't start child processes."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from testkit import eventually
from workflow_sdk.worker import child_pool

from tests.integration.sdk import sync_handlers as handlers
from tests.integration.sdk.conftest import StartWorker
from tests.integration.sdk.fake_orchestrator import FakeOrchestrator

SETUP = f"{handlers.__name__}:fail_to_set_up"


@dataclass
class Obstacle:
    """While it is there, no child process can start."""

    path: Path

    def put(self) -> None:
        self.path.touch()

    def remove(self) -> None:
        self.path.unlink()


@pytest.fixture
def obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Obstacle:
    path = tmp_path / "obstacle"
    monkeypatch.setenv(handlers.SETUP_GATE, str(path))
    monkeypatch.setattr(child_pool, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(child_pool, "HAND_BACK_SECONDS", 0.1)
    return Obstacle(path)


async def test_a_worker_that_can_start_no_process_asks_for_no_sync_task_and_says_why(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    obstacle.put()
    running = await start_worker(handlers.double, child_processes=2, child_setup=SETUP)
    await eventually(lambda: "no room for a child" in running.worker.status.child_problem, 15)
    assert not orchestrator.sessions
    obstacle.remove()
    await orchestrator.result_of(await orchestrator.give("sync.double", 1), 20)
    assert running.worker.status.child_problem == ""


async def test_a_task_for_which_no_process_can_be_started_is_handed_back(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    """The handler has not run: nothing is charged, and another worker may have processes."""
    running = await start_worker(handlers.pid, handlers.double, child_processes=1, child_setup=SETUP)
    pid = int((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)
    obstacle.put()
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: bool(running.worker.status.child_problem))
    handed_back = await orchestrator.result_of(await orchestrator.give("sync.double", 1), 20)
    assert handed_back.WhichOneof("outcome") == "handed_back"
    obstacle.remove()

    async def runs() -> None:
        result = await orchestrator.result_of(await orchestrator.give("sync.double", 4))
        assert result.output == b"8"

    await eventually(runs, 20)


async def test_a_process_that_ends_while_it_is_idle_is_replaced_before_the_next_task(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    running = await start_worker(handlers.pid, child_processes=1)
    pid = int((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)
    os.kill(pid, signal.SIGKILL)
    pool = running.worker._pool
    assert pool is not None
    await eventually(lambda: bool(pool.pids) and pool.pids != [pid], 15)


@pytest.mark.parametrize("name", ["orders", "orders:", ":set_up", "orders:a.b"])
async def test_a_set_up_that_is_no_function_is_refused_at_once(start_worker: StartWorker, name: str) -> None:
    with pytest.raises(ValueError, match="module:function"):
        await start_worker(handlers.double, child_setup=name)
