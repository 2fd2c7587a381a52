"""Every database of these tests has the orchestrator's schema."""

import pytest
from execution_orchestrator.adapters.postgres.migrate import upgrade
from testkit.databases import Databases


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    return databases.template("orchestrator", upgrade)
