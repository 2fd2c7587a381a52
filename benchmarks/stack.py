"""The stack under test: all services on this machine, on free ports, with separate data and with fsync."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from embedded_stack.pidfile import read_pid_file
from embedded_stack.services import CATALOG, GATEWAY, ORCHESTRATOR, WORKER
from embedded_stack.settings import Ports
from embedded_stack.supervisor import StackOptions, Supervisor
from redis.asyncio import Redis

from benchmarks.counters import Probe
from benchmarks.instrumented.launcher import PROFILE_VARIABLE

DATA = Path("build/benchmark-data")
"""It is on the disk of the working tree, because an fsync in memory proves nothing. It is emptied before a
run, and after a run without errors. If a run fails, its logs stay.
"""

INSTRUMENTED = {
    CATALOG: "benchmarks.instrumented.catalog",
    ORCHESTRATOR: "benchmarks.instrumented.orchestrator",
    GATEWAY: "benchmarks.instrumented.gateway",
    WORKER: "benchmarks.instrumented.worker",
}


WORKER_SLOTS = "500"
"""A no-op needs almost no resources. With the worker's default of 100, the queue would be measured too."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses and connections of a running stack."""

    gateway: str
    catalog: str
    orchestrator: str
    database_url: str
    database: asyncpg.Connection
    probe: Probe


@asynccontextmanager
async def running_stack(workers: int, profiles: Path | None = None) -> AsyncIterator[Stack]:
    """Run the stack while the block lasts.

    With `profiles`, every service writes a profile into this folder.
    """
    shutil.rmtree(DATA, ignore_errors=True)
    _ask_for_profiles(profiles)
    os.environ.setdefault("WORKFLOW_SLOTS", WORKER_SLOTS)
    options = _options(workers)
    async with AsyncExitStack() as resources:
        supervisor = await Supervisor.start(options)
        resources.push_async_callback(supervisor.stop)
        stores = supervisor.plan.stores
        database = await asyncpg.connect(stores.default_connection)
        resources.push_async_callback(database.close)
        redis = Redis.from_url(stores.redis)
        resources.push_async_callback(redis.aclose)
        addresses = supervisor.plan.addresses
        yield Stack(
            gateway=addresses["GATEWAY_ADDRESS"],
            catalog=addresses["CATALOG_ADDRESS"],
            orchestrator=addresses["ORCHESTRATOR_ADDRESS"],
            database_url=stores.default_connection,
            database=database,
            probe=_probe(supervisor, database, redis),
        )
    shutil.rmtree(DATA, ignore_errors=True)


def _options(workers: int) -> StackOptions:
    return StackOptions(
        data=DATA.resolve(),
        ports=Ports.ephemeral(),
        workers=workers,
        max_workers=workers,  # a growing queue must not start workers and so change the measurement
        modules=INSTRUMENTED,
    )


def _ask_for_profiles(directory: Path | None) -> None:
    """Set the variable in the environment of this process, which the services inherit."""
    os.environ.pop(PROFILE_VARIABLE, None)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        os.environ[PROFILE_VARIABLE] = str(directory.resolve())


def _probe(supervisor: Supervisor, database: asyncpg.Connection, redis: Redis) -> Probe:
    services = supervisor.services.values()
    urls = tuple(f"http://127.0.0.1:{service.spec.http_port}/metrics" for service in services)
    files = {path.stem: read_pid_file(path) for path in (supervisor.options.data / "run").glob("*.pid")}
    pids = {name.replace("-", "_"): file.pid for name, file in sorted(files.items()) if file is not None}
    return Probe(database, redis, urls, pids)
