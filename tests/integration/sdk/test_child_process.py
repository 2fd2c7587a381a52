import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from testkit import eventually
from workflow_sdk.worker.child_process import ChildFailedError, ChildProcess, ChildSetup

from tests.integration.sdk import sync_handlers


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    child = await ChildProcess.start(ChildSetup((sync_handlers.__name__,)))
    yield child
    await child.kill()


def start_disconnecting(child: ChildProcess, folder: Path) -> asyncio.Task[bytes]:
    """Run the handler that closes its socket and lives on until there is a file `crash`."""
    context = {
        "execution_id": "e",
        "workflow_id": "orders",
        "namespace": "default",
        "task_id": "t",
        "item": None,
        "task_type": "sync.disconnect",
        "attempt": 1,
        "idempotency_key": "e/t",
    }
    header = {
        "kind": "run",
        "module": sync_handlers.__name__,
        "name": "disconnect",
        "context": context,
        "maximum_payload_bytes": 1024,
    }
    payload = f'"{folder}"'.encode()
    return asyncio.create_task(child.run(header, payload, lambda _: None))


async def test_a_process_whose_socket_closes_first_may_say_how_it_ends(
    child: ChildProcess, tmp_path: Path
) -> None:
    running = start_disconnecting(child, tmp_path)
    await eventually((tmp_path / "disconnected").exists)
    await eventually(child._reader.at_eof)
    (tmp_path / "crash").touch()

    with pytest.raises(ChildFailedError, match="was ended by SIGSEGV"):
        await running


async def test_a_process_that_lives_on_without_its_socket_is_killed(
    child: ChildProcess, tmp_path: Path
) -> None:
    child.end_seconds = 0.05

    with pytest.raises(ChildFailedError, match="lost its connection to the worker: a handler must not close"):
        await start_disconnecting(child, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_killing_a_process_that_has_just_died_leaves_the_cause_to_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio waits for the end of a process elsewhere, and says 255 if somebody else was faster."""
    killed = threading.Event()
    waitpid = os.waitpid

    def late_waitpid(pid: int, options: int) -> tuple[int, int]:
        if threading.current_thread() is not threading.main_thread():
            killed.wait(10)
        return waitpid(pid, options)

    monkeypatch.setattr(os, "waitpid", late_waitpid)
    child = await ChildProcess.start(ChildSetup())
    os.kill(child.pid, signal.SIGSEGV)
    with contextlib.suppress(ChildProcessError):  # where the event loop itself waits
        await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    ending = asyncio.create_task(child.kill())
    await asyncio.wait([ending], timeout=0)
    killed.set()
    await ending
    assert child._process.returncode == -signal.SIGSEGV
