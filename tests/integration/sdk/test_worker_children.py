import json
import os
import signal
import time
from pathlib import Path

import pytest
from testkit import eventually
from workflow_sdk.testing import FakeOrchestrator

from tests.integration.sdk import sync_handlers as handlers
from tests.integration.sdk.conftest import StartWorker


async def test_sync_handlers_run_in_another_process_that_is_used_again(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.double, handlers.pid, child_processes=1)
    doubled = await orchestrator.result_of(await orchestrator.give("sync.double", 21))
    assert json.loads(doubled.output) == 42

    pids = {
        json.loads((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)
        for _ in range(3)
    }

    assert len(pids) == 1
    assert pids != {os.getpid()}


async def test_sync_handlers_get_the_context(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.describe)
    lease = await orchestrator.give("sync.describe", task_id="count", item=7, attempt=3)
    output = json.loads((await orchestrator.result_of(lease)).output)

    assert output == {"task": "count", "item": 7, "attempt": 3}


async def test_a_sync_handlers_exception_becomes_a_failure(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.fail)
    failure = (await orchestrator.result_of(await orchestrator.give("sync.fail", "bad order"))).failure

    assert (failure.type, failure.message, failure.non_retryable) == ("NonRetryableError", "bad order", True)
    assert "sync_handlers.py" in failure.details
    assert "child_main.py" not in failure.details


async def test_a_crash_of_the_process_fails_the_attempt_and_not_the_worker(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.crash, handlers.double, child_processes=1)
    failure = (await orchestrator.result_of(await orchestrator.give("sync.crash"))).failure
    assert (failure.type, failure.non_retryable) == ("ProcessDied", False)
    assert "SIGSEGV" in failure.message
    doubled = await orchestrator.result_of(await orchestrator.give("sync.double", 4))

    assert json.loads(doubled.output) == 8


async def test_a_process_that_dies_between_two_tasks_is_replaced_and_fails_none(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.pid, child_processes=1)
    first = int((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: not _alive(first))
    second = int((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)

    assert second != first


async def test_a_sync_handler_that_exits_fails_and_its_process_stays(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.leave, handlers.pid, child_processes=1)
    before = (await orchestrator.result_of(await orchestrator.give("sync.pid"))).output
    failure = (await orchestrator.result_of(await orchestrator.give("sync.exit", 3))).failure

    assert failure.type == "SystemExit"
    assert (await orchestrator.result_of(await orchestrator.give("sync.pid"))).output == before


async def test_a_cancelled_sync_handler_cleans_up_and_its_process_stays(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.tidy, handlers.pid, child_processes=1)
    lease = await orchestrator.give("sync.tidy", str(tmp_path / "running"))
    await eventually((tmp_path / "running").exists)
    orchestrator.cancel(lease, grace=10)
    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"
    assert (tmp_path / "running.tidied").exists()
    after = (await orchestrator.result_of(await orchestrator.give("sync.pid"))).output

    assert after.decode() == (tmp_path / "running").read_text()


async def test_a_hung_sync_handler_is_killed_after_the_grace_and_replaced(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.hang, handlers.pid, child_processes=1)
    lease = await orchestrator.give("sync.hang", str(tmp_path / "hung"))
    await eventually((tmp_path / "hung").exists)
    hung = int((tmp_path / "hung").read_text())
    orchestrator.cancel(lease, grace=0.2)
    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"
    assert not _alive(hung)

    after = (await orchestrator.result_of(await orchestrator.give("sync.pid"))).output

    assert int(after) != hung


async def test_a_hung_handler_is_killed_at_the_end_of_its_grace_and_not_later(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    """After the grace nothing else is waited for, such as the time that a process gets to end by itself."""
    await start_worker(handlers.hang, child_processes=1)
    lease = await orchestrator.give("sync.hang", str(tmp_path / "hung"))
    await eventually((tmp_path / "hung").exists)
    began = time.monotonic()
    orchestrator.cancel(lease, grace=0.0)
    await orchestrator.result_of(lease)

    assert time.monotonic() - began < 5.0


async def test_a_second_sigterm_does_not_interrupt_the_clean_up(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.tidy_slowly, child_processes=1)
    path = tmp_path / "running"
    lease = await orchestrator.give("sync.tidy_slowly", str(path))
    await eventually(path.exists)
    orchestrator.cancel(lease, grace=60)
    cleaning = path.with_suffix(".cleaning")
    await eventually(cleaning.exists)
    os.kill(int(path.read_text()), signal.SIGTERM)

    cleaning.unlink()

    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"
    assert path.with_suffix(".tidied").exists()


async def test_a_task_that_is_cancelled_while_it_waits_for_a_process_never_runs(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    running = await start_worker(handlers.progress, handlers.block, child_processes=1)
    first = await orchestrator.give("sync.progress", str(tmp_path / "gate"))
    await eventually(lambda: bool(orchestrator.heartbeats))
    second = orchestrator.overload("sync.block", str(tmp_path / "ran"))
    await eventually(lambda: running.worker.status.busy == 2)
    orchestrator.cancel(second, grace=60)
    assert (await orchestrator.result_of(second)).WhichOneof("outcome") == "cancelled"
    (tmp_path / "gate").unlink()
    await orchestrator.result_of(first)
    third = await orchestrator.give(
        "sync.progress", str(tmp_path / "gate")
    )  # the process runs one after another

    await orchestrator.result_of(third)

    assert not (tmp_path / "ran").exists()


async def test_a_worker_asks_for_as_many_sync_tasks_as_it_has_processes(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """Otherwise a task waits in one worker while another worker has nothing to do."""
    running = await start_worker(handlers.double, child_processes=2, slots=50)
    session = await orchestrator.connected()
    await eventually(lambda: bool(session.granted))

    assert session.granted == [2]
    assert running.worker.status.slots == 2


async def test_a_worker_asks_for_sync_tasks_when_its_processes_are_ready(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gate").touch()
    monkeypatch.setenv(handlers.SETUP_GATE, str(tmp_path / "gate"))
    running = await start_worker(
        handlers.double, child_processes=1, child_setup=f"{handlers.__name__}:wait_for_gate"
    )
    await eventually((tmp_path / "gate.waiting").exists)
    assert not orchestrator.sessions
    assert not running.worker.status.connected
    (tmp_path / "gate").unlink()

    await orchestrator.result_of(await orchestrator.give("sync.double", 2))


async def test_the_time_that_a_task_waits_for_a_process_is_not_its_run_time(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    """A worker that got more than it asked for: the second task waits longer than it may run."""
    (tmp_path / "gate").touch()
    running = await start_worker(handlers.progress, handlers.double, child_processes=1)
    first = await orchestrator.give("sync.progress", str(tmp_path / "gate"))
    await eventually(lambda: bool(orchestrator.heartbeats))
    second = orchestrator.overload("sync.double", 4, start_to_close=5.0)
    await eventually(lambda: running.worker.status.busy == 2)
    for attempt in running.worker._lanes[0]._attempts:
        assert attempt.timer is None

    (tmp_path / "gate").unlink()

    assert (await orchestrator.result_of(first)).output == b'"done"'
    assert (await orchestrator.result_of(second)).output == b"8"


async def test_a_sync_handler_over_its_time_is_stopped_and_fails(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.block, handlers.double, child_processes=1)
    await orchestrator.result_of(await orchestrator.give("sync.double", 1))  # the process is there
    lease = await orchestrator.give("sync.block", str(tmp_path / "f"), start_to_close=0.3)
    failure = (await orchestrator.result_of(lease)).failure

    assert (failure.type, failure.non_retryable) == ("StartToCloseTimeout", False)
    assert "0.3 s" in failure.message


async def test_a_sigterm_that_the_worker_did_not_announce_disturbs_no_handler(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    """A service manager sends SIGTERM to every process of the service; the worker then drains."""
    await start_worker(handlers.count_signals, child_processes=1)
    lease = await orchestrator.give("sync.count_signals", str(tmp_path / "running"))
    await eventually((tmp_path / "running").exists)
    os.kill(int((tmp_path / "running").read_text()), signal.SIGTERM)

    assert (await orchestrator.result_of(lease)).output == b'"interrupted 1 times"'


async def test_a_handler_is_still_cancelled_after_a_sigterm_from_outside(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.tidy, child_processes=1)
    lease = await orchestrator.give("sync.tidy", str(tmp_path / "running"))
    await eventually((tmp_path / "running").exists)
    os.kill(int((tmp_path / "running").read_text()), signal.SIGTERM)
    orchestrator.cancel(lease, grace=60)

    assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "cancelled"


async def test_heartbeats_go_on_while_a_sync_handler_blocks(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    orchestrator.ttl = 0.6
    await start_worker(handlers.block, child_processes=1)
    lease = await orchestrator.give("sync.block", str(tmp_path / "f"))
    await eventually((tmp_path / "f").exists)
    before = len(orchestrator.heartbeats)
    await eventually(lambda: len(orchestrator.heartbeats) >= before + 5)

    assert orchestrator.heartbeats[-1].heartbeats[0].task == lease.task
    assert not orchestrator.results


async def test_waiting_for_a_process_counts_as_a_sign_of_life(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    orchestrator.ttl = 0.6
    await start_worker(handlers.block, child_processes=1)
    await orchestrator.give("sync.block", str(tmp_path / "first"))
    await eventually((tmp_path / "first").exists)
    second = orchestrator.overload("sync.block", str(tmp_path / "second"))

    def both_told() -> bool:
        last = {h.task.task_id: h.handler_alive for h in orchestrator.heartbeats[-1].heartbeats}
        return len(last) == 2 and last[second.task.task_id] and sum(last.values()) == 1

    await eventually(lambda: bool(orchestrator.heartbeats) and both_told())


async def test_progress_of_a_sync_handler_is_passed_on_at_once(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    await start_worker(handlers.progress)
    lease = await orchestrator.give("sync.progress", str(tmp_path / "gate"))

    def told() -> bool:
        beats = [h for m in orchestrator.heartbeats for h in m.heartbeats]
        return any(h.handler_alive and h.progress == b'{"done":1}' for h in beats)

    await eventually(told)
    (tmp_path / "gate").unlink()
    assert json.loads((await orchestrator.result_of(lease)).output) == "done"


async def test_no_child_is_left_when_the_worker_ends(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    running = await start_worker(handlers.hang, handlers.pid, child_processes=2)
    await orchestrator.give("sync.hang", str(tmp_path / "hung"))
    await eventually((tmp_path / "hung").exists)
    idle = int((await orchestrator.result_of(await orchestrator.give("sync.pid"))).output)
    await running.drained()

    assert not _alive(idle)
    assert not _alive(int((tmp_path / "hung").read_text()))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
