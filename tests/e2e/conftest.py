"""One stack for all of these tests: every service a process of its own, on free ports, with leases of 2 s."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from embedded_stack.settings import EXAMPLE_HANDLERS, Ports
from embedded_stack.supervisor import StackOptions, Supervisor
from testkit.directories import temporary_server_directory

from tests.e2e.census import Census, expected_report, make_tree

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "LEASE_TTL": "2",
    # Fewer than there are tasks: what is left waits in Redis.
    "WORKFLOW_SLOTS": "4",
    "WORKFLOW_CHILD_PROCESSES": "1",
    # The gateway, which an example asks for its health.
    "HTTP_REQUEST_ALLOW": "127.0.0.1",
}


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources that the census counts."""
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def stack_environment() -> Iterator[dict[str, str]]:
    """What the services of these tests are told; this process has it too, as they inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # the examples
        yield dict(os.environ)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(stack_environment: dict[str, str]) -> AsyncIterator[Supervisor]:
    """The running stack. A test may kill what it likes, and leaves it to come back."""
    with temporary_server_directory() as data:
        options = StackOptions(
            data=data, ports=Ports.ephemeral(), max_workers=2, worker_modules=EXAMPLE_HANDLERS, fsync=False
        )
        supervisor = await Supervisor.start(options)
        yield supervisor
        await supervisor.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(stack: Supervisor) -> AsyncIterator[asyncpg.Pool]:
    """The primary, for what only the tables can tell."""
    async with asyncpg.create_pool(stack.plan.stores.default_connection, min_size=1, max_size=2) as pool:
        yield pool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def census(stack: Supervisor, tree: Path) -> AsyncIterator[Census]:
    """The census, published; the same in every test."""
    async with Census.connect(stack.plan.addresses["GATEWAY_ADDRESS"], tree, expected_report(tree)) as census:
        await census.publish()
        yield census
