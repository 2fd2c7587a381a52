"""Every database of these tests has the catalog's schema; a store is one in memory, or one on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from service_kit.data import postgres
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from testkit.databases import Databases
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.adapters.postgres.migrate import upgrade
from workflow_catalog.adapters.postgres.workflow_store import PostgresWorkflowStore
from workflow_catalog.application.ports import WorkflowStore


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    return databases.template("catalog", upgrade)


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[WorkflowStore]:
    if request.param == "memory":
        yield MemoryWorkflowStore()
        return
    url = request.getfixturevalue("database_url")
    settings = DatabaseSettings(default_connection=ConnectionString.parse(url))
    database = await postgres.connect(settings, application_name="test")
    yield PostgresWorkflowStore(database)
    await database.close()
