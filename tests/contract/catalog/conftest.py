"""Every database of these tests has the catalog's schema."""

import pytest
from testkit.databases import Databases
from workflow_catalog.adapters.postgres.migrate import upgrade


@pytest.fixture(scope="session")
def database_template(databases: Databases) -> str:
    return databases.template("catalog", upgrade)
