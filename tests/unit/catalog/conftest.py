"""The use cases on stores in memory."""

import pytest
from testkit import FakeClock
from workflow_catalog.adapters.memory.definition_cache import MemoryDefinitionCache
from workflow_catalog.adapters.memory.workflow_store import MemoryWorkflowStore
from workflow_catalog.application.reports import Reports
from workflow_catalog.application.versions import Versions
from workflow_catalog.application.workflows import Workflows


@pytest.fixture
def store() -> MemoryWorkflowStore:
    return MemoryWorkflowStore()


@pytest.fixture
def reports(store: MemoryWorkflowStore, versions: Versions) -> Reports:
    return Reports(store, versions)


@pytest.fixture
def workflows(store: MemoryWorkflowStore, reports: Reports, clock: FakeClock) -> Workflows:
    return Workflows(store, reports, clock)


@pytest.fixture
def cache() -> MemoryDefinitionCache:
    return MemoryDefinitionCache()


@pytest.fixture
def versions(store: MemoryWorkflowStore, cache: MemoryDefinitionCache) -> Versions:
    return Versions(store, cache)
