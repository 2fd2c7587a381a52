"""The pytest plugin: add `pytest_plugins = ["testkit.plugin"]` to the conftest.py at the root of the tests.

The servers start when the first test of the run needs them, and end with the run. Under pytest-xdist the
workers share the PostgreSQL servers, and each test has a separate database.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_stack import Addresses
from embedded_stack.valkey import Valkey

from testkit.clock import FakeClock
from testkit.databases import Database, Databases
from testkit.redis import clean, run_redis
from testkit.servers import shared_servers, stop_shared_servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """Return the addresses of the run's PostgreSQL primary and replica, which run without fsync."""
    in_worker = "PYTEST_XDIST_WORKER" in os.environ
    return shared_servers(_run_directory(tmp_path_factory), os.getppid() if in_worker else os.getpid())


@pytest.fixture(scope="session")
def databases(servers: Addresses) -> Iterator[Databases]:
    """Yield the object that creates databases and templates of databases."""
    databases = Databases(servers)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def database_template() -> str | None:
    """Return the template of `database`, or None for an empty one. The conftest of a service overrides this.

    @pytest.fixture(scope="session")
    def database_template(databases): return databases.template("catalog", migrate)
    """
    return None


@pytest.fixture
def database(databases: Databases, database_template: str | None) -> Iterator[Database]:
    """Yield a new database for one test."""
    database = databases.create(database_template)
    yield database
    databases.drop(database)


@pytest.fixture
def database_url(database: Database) -> str:
    """Return the URL of the test's database on the primary: `postgresql://postgres@/NAME?host=...&port=...`."""
    return database.url


@pytest.fixture
def replica_url(databases: Databases, database: Database) -> str:
    """Return the URL of the same database on the replica, which has the content of the template.

    A write of the test arrives a little later: wait with `eventually` or `databases.wait_for_replica`.
    """
    databases.wait_for_replica(database)
    return database.replica_url


@pytest.fixture(scope="session")
def _redis_of_this_worker() -> Iterator[Valkey]:
    with run_redis() as server:
        yield server


@pytest.fixture
def redis_server(_redis_of_this_worker: Valkey) -> Valkey:
    """Return the test's Redis-compatible server, empty. A test may `kill()` and `start()` it."""
    clean(_redis_of_this_worker)
    return _redis_of_this_worker


@pytest.fixture
def redis_url(redis_server: Valkey) -> str:
    """Return the URL of the test's Redis-compatible server, empty."""
    return redis_server.url


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that only the test moves."""
    return FakeClock()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the servers of the run, in the process that the user started."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if "PYTEST_XDIST_WORKER" not in os.environ and factory is not None:
        stop_shared_servers(_run_directory(factory))


def _run_directory(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary directory that all processes of the run share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
