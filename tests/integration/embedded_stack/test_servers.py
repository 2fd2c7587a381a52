"""PostgreSQL, its replica and Valkey, started for real."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from embedded_stack import PortTakenError, Servers, StackError
from embedded_stack.pidfile import read_pid_file, start_token
from redis.asyncio import Redis
from testkit import eventually
from testkit.directories import temporary_server_directory

LEAVES_SERVERS_BEHIND = """
import os, signal, sys
from pathlib import Path
from embedded_stack import Servers
servers = Servers.start(Path(sys.argv[1]), replica=False)
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_server_directory() as path:
        yield path


def servers_of_a_killed_supervisor(directory: Path) -> list[int]:
    command = [sys.executable, "-c", LEAVES_SERVERS_BEHIND, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        files = [read_pid_file(path) for path in (directory / "run").glob("*.pid")]
        supervisor.kill()
    return [entry.pid for entry in files if entry is not None]


async def fetch(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_the_first_start_makes_the_database_and_later_ones_find_it(directory: Path) -> None:
    with Servers.start(directory) as servers:
        addresses = servers.addresses
        assert await fetch(addresses.database_url, "create table t as select 42 as a") is None
        async with Redis.from_url(addresses.redis_url) as redis:
            await redis.set("kept", "yes")
    with Servers.start(directory) as servers:
        addresses = servers.addresses
        assert await fetch(addresses.database_url, "select a from t") == 42
        servers.wait_for_replica()
        assert await fetch(addresses.replica_url, "select a from t where pg_is_in_recovery()") == 42
        async with Redis.from_url(addresses.redis_url) as redis:
            assert await redis.get("kept") == b"yes"


async def test_the_settings_that_durability_rests_on_are_on(directory: Path) -> None:
    with Servers.start(directory, replica=False) as servers:
        url = servers.addresses.database_url
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await fetch(url, f"show {setting}") == "on"

        assert await fetch(url, "show max_connections") == "200"


async def test_without_a_replica_reads_go_to_the_primary(directory: Path) -> None:
    with Servers.start(directory, replica=False, fsync=False) as servers:
        assert servers.addresses.replica_url == servers.addresses.database_url
        with pytest.raises(StackError, match="no replica"):
            servers.kill_replica()


async def test_tools_connect_over_tcp_with_the_password_only(directory: Path) -> None:
    with Servers.start(directory, replica=False, fsync=False) as servers:
        url = servers.addresses.database_tcp_url

        assert await fetch(url, "select current_database()") == "workflows"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await fetch(url.replace(servers.addresses.password, "guess"), "select 1")


async def test_a_killed_primary_comes_back_with_every_commit(directory: Path) -> None:
    with Servers.start(directory, replica=True) as servers:
        url = servers.addresses.database_url
        await fetch(url, "create table t as select 7 as a")
        servers.kill_primary()
        with pytest.raises(ConnectionError):
            await fetch(url, "select 1")
        servers.start_primary()
        assert await fetch(url, "select a from t") == 7
        servers.wait_for_replica()


async def test_a_killed_redis_comes_back_at_its_address(directory: Path) -> None:
    with Servers.start(directory, replica=False, fsync=False) as servers:
        servers.kill_redis()
        servers.start_redis()
        async with Redis.from_url(servers.addresses.redis_url) as redis:
            assert await redis.ping()


async def test_a_damaged_replica_is_made_anew(directory: Path) -> None:
    with Servers.start(directory, fsync=False) as servers:
        await fetch(servers.addresses.database_url, "create table t as select 7 as a")
    shutil.rmtree(directory / "servers/state/replica/pg_wal")
    with Servers.start(directory, fsync=False) as servers:
        servers.wait_for_replica()
        assert await fetch(servers.addresses.replica_url, "select a from t") == 7


async def test_a_replica_whose_slot_is_gone_is_made_anew(directory: Path) -> None:
    with Servers.start(directory, fsync=False) as servers:
        servers.kill_replica()
        drop = "select true, pg_drop_replication_slot('replica') from pg_replication_slots where not active"
        url = servers.addresses.database_url

        async def dropped() -> None:
            assert await fetch(url, drop)

        await eventually(dropped)
    with Servers.start(directory, fsync=False) as servers:
        servers.wait_for_replica()


def test_a_directory_in_use_is_refused(directory: Path) -> None:
    with (
        Servers.start(directory, replica=False, fsync=False),
        pytest.raises(StackError, match=rf"in use by process {os.getpid()}"),
    ):
        Servers.start(directory)


def test_a_taken_port_is_named_with_its_setting_and_nothing_is_left(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"{port}.*WORKFLOW_REPLICA_PORT"):
            Servers.start(directory, replica_port=port)
    Servers.start(directory, replica=False, fsync=False).stop()


def test_a_server_that_does_not_start_is_explained_with_its_log(directory: Path) -> None:
    Servers.start(directory, replica=False, fsync=False).stop()
    (directory / "servers/state/primary/pg_hba.conf").write_text("nonsense\n")

    with pytest.raises(StackError, match=r"(?s)PostgreSQL did not start.*exit code 1.*could not load"):
        Servers.start(directory, replica=False, fsync=False)
    assert list((directory / "run").iterdir()) == []


def test_data_of_another_major_version_is_refused(directory: Path) -> None:
    Servers.start(directory, replica=False, fsync=False).stop()
    (directory / "servers/state/primary/PG_VERSION").write_text("17\n")

    with pytest.raises(StackError, match=r"data of PostgreSQL 17.*WORKFLOW_DATA_DIR"):
        Servers.start(directory, replica=False, fsync=False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
async def test_servers_end_with_a_killed_supervisor(directory: Path) -> None:
    pids = servers_of_a_killed_supervisor(directory)
    assert len(pids) == 2
    await eventually(lambda: not [pid for pid in pids if start_token(pid)], timeout=20)


def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(directory: Path) -> None:
    with Servers.start(directory, replica=False, fsync=False) as servers:
        servers.kill_primary()
        # Owned by the servers' user, so that PostgreSQL believes it to be itself.
        stranger = subprocess.Popen(["sleep", "600"], **servers.layout.identity.popen_arguments())

        try:
            name_another_process(servers, stranger.pid)
            servers.start_primary()
            assert stranger.poll() is None
        finally:
            stranger.send_signal(signal.SIGKILL)
            stranger.wait()


def test_a_killed_server_that_nobody_has_reaped_is_no_obstacle(directory: Path) -> None:
    with Servers.start(directory, replica=False, fsync=False) as servers:
        servers.kill_primary()
        zombie = subprocess.Popen(["true"], **servers.layout.identity.popen_arguments())
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        try:
            name_another_process(servers, zombie.pid)
            servers.start_primary()
        finally:
            zombie.wait()


def name_another_process(servers: Servers, pid: int) -> None:
    """Make the files that a killed server leaves behind name this process."""
    for stale in (
        servers.primary.directory / "postmaster.pid",
        servers.layout.sockets / f".s.PGSQL.{servers.primary.port}.lock",
    ):
        first, _, rest = stale.read_text().partition("\n")
        assert first.isdigit()
        stale.write_text(f"{pid}\n{rest}")
