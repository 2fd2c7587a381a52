import json
import os
import signal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit import eventually
from testkit.ports import free_ports
from workflow_sdk.testing import FakeOrchestrator

from tests.integration.worker.conftest import StartProcess, WorkerProcess

SYNC_MODULE = "tests.integration.sdk.sync_handlers"


async def healthy(worker: WorkerProcess) -> dict[str, object]:
    async def check() -> dict[str, object]:
        answer = await worker.get("/health")
        assert answer.status_code == 200, answer.text
        body: dict[str, object] = answer.json()
        return body

    return await eventually(check, 15)


async def test_it_runs_built_in_and_user_handlers_and_answers_health_to_the_letter(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    worker = await start_process(WORKFLOW_WORKER_ID="worker-123", WORKER_MODULES=SYNC_MODULE)
    assert await healthy(worker) == {"status": "healthy", "workerId": "worker-123", "processedJobs": 0}
    assert (await orchestrator.result_of(await orchestrator.give("noop", {"a": [1]}))).output == b'{"a":[1]}'
    assert (await orchestrator.result_of(await orchestrator.give("sync.double", 4))).output == b"8"
    failure = (await orchestrator.result_of(await orchestrator.give("fail", {"type": "Jam"}))).failure
    assert failure.type == "Jam"

    async def all_counted() -> None:
        answer = await worker.get("/health")
        assert answer.text == '{"status":"healthy","workerId":"worker-123","processedJobs":3}'

    await eventually(all_counted)


async def test_health_and_readiness_follow_the_stream(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    grpc_port = free_ports(1)[0]
    worker = await start_process(GRPC_LISTEN=f"127.0.0.1:{grpc_port}")
    await healthy(worker)

    async def serving(expected: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == expected

    await eventually(lambda: serving(health_pb2.HealthCheckResponse.SERVING))
    await orchestrator.stop()

    async def unhealthy() -> None:
        answer = await worker.get("/health")
        assert answer.status_code == 503
        assert answer.json()["stream"] == "disconnected"
        assert (await worker.get("/readyz")).status_code == 503
        assert (await worker.get("/livez")).status_code == 200

    await eventually(unhealthy)
    await eventually(lambda: serving(health_pb2.HealthCheckResponse.NOT_SERVING))
    await orchestrator.start()
    await healthy(worker)


async def test_metrics_tell_of_slots_attempts_and_the_loop(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    worker = await start_process(WORKFLOW_SLOTS="5")
    await orchestrator.result_of(await orchestrator.give("noop"))
    await orchestrator.result_of(await orchestrator.give("fail"))

    text = (await worker.get("/metrics")).text

    assert 'workflow_worker_slots{state="free"} 5.0' in text
    assert 'workflow_worker_attempts_total{outcome="succeeded",task_type="noop"} 1.0' in text
    assert 'workflow_worker_attempts_total{outcome="failed",task_type="fail"} 1.0' in text
    assert 'workflow_task_duration_seconds_count{task_type="noop"} 1.0' in text
    assert "workflow_worker_event_loop_lag_seconds" in text


async def test_a_failure_is_logged_with_the_ids(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    worker = await start_process(WORKFLOW_WORKER_ID="w-7")
    lease = await orchestrator.give("fail", {"message": "no paper"}, task_id="print", attempt=2)
    await orchestrator.result_of(lease)

    def line() -> dict[str, object]:
        lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line["event"] == "task_failed"]
        assert found
        return found[0]

    logged = await eventually(line)
    expected = {"task_id": "print", "attempt": 2, "worker_id": "w-7", "message": "no paper", "level": "info"}
    assert logged | expected == logged
    assert logged["execution_id"] == lease.task.execution_id


async def test_sigterm_lets_it_finish_and_hand_back_and_leaves_no_child(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    worker = await start_process(WORKER_MODULES=SYNC_MODULE, SHUTDOWN_GRACE_SECONDS="1")
    short = await orchestrator.give("sleep", {"seconds": 0.5})
    long = await orchestrator.give("sleep", {"seconds": 60})
    await orchestrator.give("sync.block", str(tmp_path / "pid"))
    await eventually((tmp_path / "pid").exists, 15)

    worker.signal(signal.SIGTERM)

    assert await worker.ended() == 0
    assert (await orchestrator.result_of(short)).WhichOneof("outcome") == "output"
    assert (await orchestrator.result_of(long)).WhichOneof("outcome") == "handed_back"
    assert len(orchestrator.results) == 3
    assert not alive(tmp_path / "pid")


async def test_sync_handlers_finish_when_every_process_of_the_service_gets_sigterm(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    """So does systemd: the child processes get the signal beside the worker."""
    (tmp_path / "gate").touch()
    worker = await start_process(
        WORKER_MODULES=SYNC_MODULE, WORKFLOW_CHILD_PROCESSES="1", SHUTDOWN_GRACE="60"
    )
    child = int((await orchestrator.result_of(await orchestrator.give("sync.pid"), 20)).output)
    lease = await orchestrator.give("sync.progress", str(tmp_path / "gate"))
    await eventually(lambda: any(beat.progress for m in orchestrator.heartbeats for beat in m.heartbeats))
    os.kill(child, signal.SIGTERM)
    worker.signal(signal.SIGTERM)

    async def draining() -> None:
        answer = await worker.get("/health")
        assert (answer.status_code, answer.json().get("worker")) == (503, "draining")

    await eventually(draining)
    (tmp_path / "gate").unlink()
    assert (await orchestrator.result_of(lease)).output == b'"done"'
    assert await worker.ended() == 0


async def test_sync_handlers_log_as_the_worker_does_and_with_the_ids(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    worker = await start_process(
        WORKER_MODULES=SYNC_MODULE, WORKFLOW_WORKER_ID="w-7", WORKFLOW_CHILD_PROCESSES="1"
    )
    lease = await orchestrator.give("sync.log", task_id="print", attempt=2, item=3)
    await orchestrator.result_of(lease, 20)

    def lines() -> dict[str, dict[str, object]]:
        read = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
        found = {line["event"]: line for line in read if line.get("logger") == "orders"}
        assert set(found) == {"info line", "warning line", "line of a thread"}
        return found

    logged = await eventually(lines)
    ids = {
        "execution_id": lease.task.execution_id,
        "workflow_id": "orders",
        "task_id": "print",
        "attempt": 2,
        "item": 3,
    }
    for line in logged.values():
        assert line | ids | {"worker_id": "w-7", "service": "workflow-worker"} == line
    assert (logged["warning line"]["level"], logged["warning line"]["order"]) == ("warning", 7)


SCRIPT = """
import logging, os, signal, sys, time
from workflow_sdk import Worker, task
from tests.integration.sdk.sync_handlers import hang, log_lines

@task("block.loop")
async def block_loop(path):
    open(path, "w").close()
    while True:
        time.sleep(0.1)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(name)s|%(message)s")
    Worker(sys.argv[1], tasks=[hang, log_lines, block_loop], grace=600).run_until_signalled()
"""


async def test_sync_handlers_of_a_script_log_in_its_format(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    worker = await start_process(str(tmp_path / "script.py"), orchestrator.address)
    await orchestrator.result_of(await orchestrator.give("sync.log"), 20)

    def logged() -> bool:
        lines = worker.log.read_text().splitlines()
        return {"INFO|orders|info line", "WARNING|orders|warning line"} <= set(lines)

    await eventually(logged)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("handler", ["sync.hang", "block.loop"])
async def test_a_second_signal_ends_a_worker_at_once_whatever_its_handlers_do(
    orchestrator: FakeOrchestrator,
    start_process: StartProcess,
    tmp_path: Path,
    number: signal.Signals,
    handler: str,
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    worker = await start_process(str(tmp_path / "script.py"), orchestrator.address)
    await orchestrator.give(handler, str(tmp_path / "running"))
    await eventually((tmp_path / "running").exists, 20)
    worker.signal(number)
    if handler == "sync.hang":
        await eventually(lambda: any(session.draining for session in orchestrator.sessions))
    else:
        await eventually(lambda: not signal_pending(worker.process.pid, number))
    worker.signal(number)
    assert await worker.ended() == 128 + number

    if handler == "sync.hang":
        await eventually(lambda: not alive(tmp_path / "running"))


def signal_pending(pid: int, number: signal.Signals) -> bool:
    """Whether the process has not taken the signal yet: two of one kind at a time count as one."""
    pending = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("SigPnd:", "ShdPnd:")):
            pending |= int(line.split()[1], 16)
    return bool(pending & 1 << (number - 1))


async def test_children_die_with_a_worker_that_is_killed(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    worker = await start_process(WORKER_MODULES=SYNC_MODULE)
    await orchestrator.give("sync.hang", str(tmp_path / "pid"))
    await eventually((tmp_path / "pid").exists, 15)
    worker.signal(signal.SIGKILL)
    await worker.ended()
    await eventually(lambda: not alive(tmp_path / "pid"))


async def test_a_module_that_is_not_there_stops_the_start_with_the_next_step(
    start_process: StartProcess,
) -> None:
    worker = await start_process(WORKER_MODULES="no.such.module")

    assert await worker.ended() == 1
    assert "there is no module no.such.module" in worker.log.read_text()


async def test_a_script_with_its_own_handlers_is_a_worker(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    script = tmp_path / "orders.py"
    script.write_text(
        "import sys\n"
        "from workflow_sdk import Worker, task\n"
        "@task('orders.total')\n"
        "def total(items):\n"
        "    return sum(items)\n"
        "if __name__ == '__main__':\n"
        "    Worker(sys.argv[1], tasks=[total]).run_until_signalled()\n"
    )
    worker = await start_process(str(script), orchestrator.address)
    assert (await orchestrator.result_of(await orchestrator.give("orders.total", [1, 2]))).output == b"3"

    worker.signal(signal.SIGINT)

    assert await worker.ended() == 0


async def test_a_script_without_a_main_guard_is_told_about_it(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    script = tmp_path / "orders.py"
    script.write_text(
        "import sys\n"
        "from workflow_sdk import Worker, task\n"
        "@task('orders.total')\n"
        "def total(items):\n"
        "    return sum(items)\n"
        f"Worker({orchestrator.address!r}, tasks=[total]).run_until_signalled()\n"
    )
    await start_process(str(script))

    failure = (await orchestrator.result_of(await orchestrator.give("orders.total", [1, 2]))).failure

    assert "if __name__ == '__main__'" in failure.message


def alive(pid_file: Path) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
