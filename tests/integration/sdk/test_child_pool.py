"""What a worker does while it can't start child processes."""

import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from testkit import eventually
from workflow_sdk.testing import FakeOrchestrator
from workflow_sdk.worker import runtime
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.child_process import ChildProcess, ChildSetup

from tests.integration.sdk import sync_handlers as handlers
from tests.integration.sdk.conftest import StartWorker

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
    impatient = partial(ChildPool, max_pause_seconds=0.1, hand_back_seconds=0.1)
    monkeypatch.setattr(runtime, "ChildPool", impatient)  # the worker of the test makes its pool with it
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


async def start_behind(
    gate: Path, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, *, child_processes: int
) -> None:
    """Start a worker whose child processes wait in their set-up while the file `gate` exists."""
    monkeypatch.setenv(handlers.SETUP_GATE, str(gate))
    await start_worker(
        handlers.crash,
        handlers.double,
        child_processes=child_processes,
        child_setup=f"{handlers.__name__}:wait_for_gate",
    )


async def test_no_sync_task_is_leased_while_its_process_is_being_replaced(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its start_to_close counts from the lease, so the wait for a process would use it up."""
    gate = tmp_path / "gate"
    await start_behind(gate, start_worker, monkeypatch, child_processes=1)
    session = await orchestrator.connected()
    await eventually(lambda: session.credits == 1, 20)
    gate.touch()
    result = await orchestrator.result_of(await orchestrator.give("sync.crash"))
    assert result.failure.type == "ProcessDied"
    assert result.without_credit
    await eventually(Path(f"{gate}.waiting").exists, 20)
    assert session.credits == 0
    gate.unlink()
    await eventually(lambda: session.credits == 1, 20)

    await orchestrator.result_of(await orchestrator.give("sync.double", 1))

    assert session.granted == [1, 1]


async def test_a_new_session_grants_no_credit_for_a_process_that_is_missing(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await start_behind(gate, start_worker, monkeypatch, child_processes=2)
    session = await orchestrator.connected()
    await eventually(lambda: session.credits == 2, 20)
    gate.touch()
    await orchestrator.result_of(await orchestrator.give("sync.crash"))
    session.outgoing.put_nowait(ConnectionError("broken"))
    again = await orchestrator.connected(2)
    await eventually(lambda: again.credits == 1)
    gate.unlink()

    await eventually(lambda: again.credits == 2, 20)

    assert again.granted == [1, 1]


async def test_an_unexpected_error_while_a_process_starts_is_followed_by_another_try(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ChildProcess.start
    tries: list[ChildSetup] = []

    async def start(setup: ChildSetup) -> ChildProcess:
        tries.append(setup)
        if len(tries) == 1:
            raise ValueError("nobody expects this")
        return await original(setup)

    monkeypatch.setattr(ChildProcess, "start", start)
    await start_worker(handlers.double, child_processes=1)
    await orchestrator.result_of(await orchestrator.give("sync.double", 1), 20)


async def test_a_connection_that_cannot_be_closed_does_not_hold_up_the_worker(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other code of the worker may have closed the pipe to a child process."""
    original = ChildProcess._cancel_timer

    def cancel_timer(self: ChildProcess) -> None:
        original(self)
        if not self.usable:
            raise OSError("a bad file descriptor")

    monkeypatch.setattr(ChildProcess, "_cancel_timer", cancel_timer)
    await start_worker(handlers.crash, handlers.double, child_processes=1)
    result = await orchestrator.result_of(await orchestrator.give("sync.crash"))
    assert result.failure.type == "ProcessDied"
    monkeypatch.undo()
    await orchestrator.result_of(await orchestrator.give("sync.double", 1), 20)
