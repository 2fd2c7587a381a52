"""The whole stack dies by kill -9 and is started again on the same data."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from embedded_stack.pidfile import PidFile, read_pid_file
from embedded_stack.ports import free_ports
from testkit import eventually
from testkit.directories import temporary_server_directory
from workflow_sdk import ExecutionStatus

from tests.e2e.census import PACKAGES, Census, expected_report
from tests.e2e.test_disruptions import saw_everything_once

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

PORTS = (
    "WORKFLOW_GATEWAY_PORT",
    "WORKFLOW_HTTP_PORT",
    "WORKFLOW_CATALOG_PORT",
    "WORKFLOW_CATALOG_HTTP_PORT",
    "WORKFLOW_ORCHESTRATOR_PORT",
    "WORKFLOW_ORCHESTRATOR_HTTP_PORT",
    "WORKFLOW_POSTGRES_PORT",
    "WORKFLOW_REPLICA_PORT",
    "WORKFLOW_REDIS_PORT",
    "WORKFLOW_WORKER_PORT",
)
START_SECONDS = 60.0


@pytest.fixture
def environment(stack_environment: dict[str, str]) -> dict[str, str]:
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return {**stack_environment, **ports, "MAX_WORKERS": "2"}


@contextmanager
def stack_process(data: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`make up` in a process of its own, stopped in good order at the end if it still runs."""
    command = [sys.executable, "-m", "embedded_stack", "up", "--quiet", "--data-dir", str(data)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def processes(data: Path) -> list[PidFile]:
    """Everything that the stack has started and not seen end."""
    files = (read_pid_file(path) for path in (data / "run").glob("*.pid"))
    return [file for file in files if file is not None and file.still_runs()]


def kill_everything(supervisor: subprocess.Popen[bytes], data: Path) -> list[PidFile]:
    """Without a chance to say goodbye: the supervisor is stopped first, so that it starts nothing again."""
    supervisor.send_signal(signal.SIGSTOP)
    killed = processes(data)
    for each in killed:
        os.kill(each.pid, signal.SIGKILL)
    supervisor.kill()
    supervisor.wait()
    return killed


async def healthy(environment: dict[str, str]) -> None:
    """The gateway, and a worker: without one nobody has offered the census' tasks yet."""
    for port in ("WORKFLOW_HTTP_PORT", "WORKFLOW_WORKER_PORT"):
        address = f"http://127.0.0.1:{environment[port]}/health"
        await eventually(partial(_answers, address), timeout=START_SECONDS, interval=0.1)


async def _answers(address: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(address, timeout=5)).status_code == 200
    except httpx.TransportError:
        return False


async def test_an_execution_in_flight_goes_on_after_the_whole_stack_was_killed(
    environment: dict[str, str], tree: Path
) -> None:
    gateway = f"127.0.0.1:{environment['WORKFLOW_GATEWAY_PORT']}"
    with temporary_server_directory() as data:
        async with Census.connect(gateway, tree, expected_report(tree)) as census:
            with stack_process(data, environment) as first:
                await healthy(environment)
                await census.publish()
                async with census.run() as run:
                    await run.middle()
                    killed = kill_everything(first, data)
                    assert len(killed) >= 8, "postgres twice, valkey, three services and two workers"
                    assert len(run.counted) < PACKAGES
                    with stack_process(data, environment) as second:
                        execution = await run.final()
                        await saw_everything_once(run)
                        started = processes(data)
                    assert run.watcher.breaks > 0

        assert (execution.status, execution.output) == (ExecutionStatus.COMPLETED, census.report)
        assert second.returncode == 0
        assert [each for each in started if each.still_runs()] == []
