"""The supervisor, over real servers and small fake services."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_stack import StackError
from embedded_stack import supervisor as supervisor_module
from embedded_stack.lock import DataDirectoryLock
from embedded_stack.pidfile import read_pid_file, start_token
from embedded_stack.services import MODULES
from embedded_stack.settings import Ports
from embedded_stack.supervisor import StackOptions, Supervisor
from redis.asyncio import Redis
from redis.exceptions import RedisError
from testkit import eventually
from testkit.directories import temporary_server_directory

FAKES = Path(__file__).parent
STARTS_A_STACK = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from embedded_stack.settings import Ports
from embedded_stack.supervisor import StackOptions, Supervisor
from embedded_stack.services import MODULES

async def main():
    modules = dict.fromkeys(MODULES, "fake_service")
    more = {"workers": 1, "modules": modules, "fsync": False}
    await Supervisor.start(StackOptions(data=Path(sys.argv[1]), ports=Ports.ephemeral(), **more))
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with temporary_server_directory() as path:
        monkeypatch.setenv("PYTHONPATH", str(FAKES), prepend=os.pathsep)
        monkeypatch.setenv("FAKE_JOURNAL", str(path / "journal"))
        yield path


@pytest.fixture
def options(directory: Path) -> StackOptions:
    modules = dict.fromkeys(MODULES, "fake_service")
    return StackOptions(data=directory, ports=Ports.ephemeral(), fsync=False, modules=modules)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def stack(options: StackOptions, said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = await Supervisor.start(options, said.append)
    yield supervisor
    await supervisor.stop()


def journal(directory: Path, event: str) -> list[str]:
    """Who did something, in order."""
    lines = (directory / "journal").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith(event)]


def recorded_pids(directory: Path) -> list[int]:
    entries = [read_pid_file(path) for path in (directory / "run").glob("*.pid")]
    return [entry.pid for entry in entries if entry is not None]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_a_stack(directory: Path) -> tuple[list[int], list[int]]:
    """Start a stack in a process of its own and kill that.

    Returns the pids of what it had started, and of what its services had forked.
    """
    command = [sys.executable, "-c", STARTS_A_STACK, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        started = recorded_pids(directory)
        services = [pid for pid in started if "fake_service" in Path(f"/proc/{pid}/cmdline").read_text()]
        forked = [child for pid in services for child in children(pid)]
        supervisor.kill()
    return started, forked


async def test_everything_starts_after_the_migrations(stack: Supervisor, directory: Path) -> None:
    started = journal(directory, "started")

    assert started[:2] == ["migrate", "migrate"]
    assert sorted(stack.services) == ["catalog", "gateway", "orchestrator", "worker-1", "worker-2"]
    assert len(started) == 2 + 5


async def test_workers_stop_first_and_the_catalog_last(options: StackOptions, directory: Path) -> None:
    supervisor = await Supervisor.start(options)
    pids = recorded_pids(directory)
    await supervisor.stop()
    ports = options.ports

    stopped = journal(directory, "stopped")

    assert sorted(stopped[:2]) == ["worker-1", "worker-2"]
    assert stopped[2:] == [f"127.0.0.1:{port}" for port in (ports.gateway, ports.orchestrator, ports.catalog)]
    assert len(pids) == 8
    assert not [pid for pid in pids if start_token(pid)]
    assert recorded_pids(directory) == []


async def test_a_service_that_does_not_stop_in_time_is_killed(
    options: StackOptions, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STUBBORN", "worker-1")
    supervisor = await Supervisor.start(replace(options, shutdown_grace=0.0, kill_margin=0.1), said.append)
    stubborn = supervisor.services["worker-1"].pid
    await supervisor.stop()

    assert "worker-1 did not stop in time and was killed" in said
    assert start_token(stubborn) is None


async def test_a_hurried_stop_waits_for_nobody(
    options: StackOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STUBBORN", "worker-1")
    supervisor = await Supervisor.start(replace(options, shutdown_grace=3600.0))
    stubborn = supervisor.services["worker-1"].pid
    supervisor.hurry.set()
    await supervisor.stop()

    assert start_token(stubborn) is None


async def test_a_crashed_service_starts_again_and_the_user_is_told(
    stack: Supervisor, said: list[str], directory: Path
) -> None:
    catalog = stack.services["catalog"]
    before = catalog.pid
    catalog.kill()
    await eventually(lambda: catalog.pid != before)
    await catalog.ready()

    assert any("catalog ended with signal SIGKILL; it starts again in 0.5 s" in line for line in said)


@pytest.mark.skipif(sys.platform != "linux", reason="the test looks into /proc")
async def test_what_a_crashed_service_had_forked_ends_too(stack: Supervisor) -> None:
    worker = stack.services["worker-1"]
    before = worker.pid

    forked = children(before)
    assert len(forked) == 1
    worker.kill()
    await eventually(lambda: worker.pid != before)
    await eventually(lambda: start_token(forked[0]) is None)


async def test_a_crashed_server_starts_again_at_its_address(stack: Supervisor, said: list[str]) -> None:
    assert stack.servers is not None
    pid = read_pid_file(stack.options.data / "run/valkey.pid")
    assert pid is not None
    os.kill(pid.pid, signal.SIGKILL)

    async def answers() -> None:
        try:
            async with Redis.from_url(stack.plan.stores.redis) as redis:
                assert await redis.ping()
        except RedisError as error:
            raise AssertionError(error) from error
        assert said[-1] == "valkey ended unexpectedly and starts again in 0.5 s"

    await eventually(answers)


async def test_a_server_that_a_test_killed_stays_down_until_it_is_started(stack: Supervisor) -> None:
    assert stack.servers is not None
    stack.servers.kill_redis()
    assert not stack.servers.valkey.crashed
    stack.servers.start_redis()

    assert stack.servers.valkey.running


async def test_a_long_queue_brings_more_workers(options: StackOptions, directory: Path) -> None:
    stack = await Supervisor.start(replace(options, queue_poll=0.05))
    try:
        async with Redis.from_url(stack.plan.stores.redis) as redis:
            await redis.rpush("workflow:execution:queue", *range(350))
        await eventually(lambda: len(stack.workers) == 4)
        assert [worker.name for worker in stack.workers] == ["worker-1", "worker-2", "worker-3", "worker-4"]
    finally:
        await stack.stop()


async def test_workers_that_cannot_be_started_leave_the_stack_running(
    options: StackOptions, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = await Supervisor.start(replace(options, queue_poll=0.05), said.append)
    supervision = asyncio.create_task(stack.run_for_ever())

    try:
        with monkeypatch.context() as broken:
            broken.setattr(supervisor_module, "ManagedService", _no_process)
            async with Redis.from_url(stack.plan.stores.redis) as redis:
                await redis.rpush("workflow:execution:queue", *range(350))
            await eventually(lambda: any("another worker cannot start now" in line for line in said))
        assert not supervision.done()
        await eventually(lambda: len(stack.workers) == 4)
    finally:
        supervision.cancel()
        await stack.stop()


def _no_process(*_: object) -> None:
    raise OSError(errno.EAGAIN, "fork: resource temporarily unavailable")


async def test_a_service_that_ends_at_once_is_explained_and_everything_is_stopped(
    options: StackOptions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BROKEN", "worker-2")

    with pytest.raises(StackError, match=r"(?s)worker-2 ended with exit code 1.*cannot reach the moon"):
        await Supervisor.start(options)
    assert recorded_pids(directory) == []


async def test_a_failed_migration_is_explained_and_no_service_starts(
    options: StackOptions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BROKEN", "migrate")

    with pytest.raises(StackError, match=r"(?s)the database was not migrated.*cannot reach the moon"):
        await Supervisor.start(options)
    assert set(journal(directory, "started")) == {"migrate"}


async def test_a_migrated_database_is_not_migrated_at_every_start(
    options: StackOptions, directory: Path
) -> None:
    for _ in range(2):
        await (await Supervisor.start(options)).stop()
    assert journal(directory, "started").count("migrate") == 2  # the catalog's and the orchestrator's


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
async def test_everything_ends_with_a_killed_supervisor(directory: Path) -> None:
    started, _ = kill_a_stack(directory)
    assert len(started) == 7
    await eventually(lambda: not [pid for pid in started if start_token(pid)], timeout=20)
    DataDirectoryLock.acquire(directory).release()


@pytest.mark.skipif(sys.platform != "linux", reason="the test looks into /proc")
async def test_the_start_after_a_kill_finds_a_clean_place(options: StackOptions, directory: Path) -> None:
    started, forked = kill_a_stack(directory)
    assert len(forked) == 4
    supervisor = await Supervisor.start(options)
    assert not [pid for pid in started + forked if start_token(pid)]
    await supervisor.stop()
