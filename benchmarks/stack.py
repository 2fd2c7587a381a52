"""The stack under test: all of it on this machine, on free ports, with data of its own and fsync on."""

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
"""On the disk of the working tree, since fsync in memory proves nothing. Emptied before, and after a run that
did not fail: else its logs stay.
"""

INSTRUMENTED = {
    CATALOG: "benchmarks.instrumented.catalog",
    ORCHESTRATOR: "benchmarks.instrumented.orchestrator",
    GATEWAY: "benchmarks.instrumented.gateway",
    WORKER: "benchmarks.instrumented.worker",
}


WORKER_SLOTS = "500"
"""A no-op takes no room to speak of. With the worker's default of 100 the queue is measured as well."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything is."""

    gateway: str
    catalog: str
    orchestrator: str
    database_url: str
    database: asyncpg.Connection
    probe: Probe


@asynccontextmanager
async def running_stack(workers: int, profiles: Path | None = None) -> AsyncIterator[Stack]:
    """Start the stack, and stop it at the end. With `profiles` every service writes a profile there."""
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
        max_workers=workers,  # a queue that grows under load must not change what is measured
        modules=INSTRUMENTED,
    )


def _ask_for_profiles(directory: Path | None) -> None:
    """The services inherit this process's environment."""
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
