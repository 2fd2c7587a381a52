"""The settings that contradict each other stop the start."""

import pytest
from execution_orchestrator.settings import OrchestratorSettings
from service_kit.process.settings import SettingsError, load

SERVERS = {"DEFAULT_CONNECTION": "postgresql://h/d", "REDIS": "localhost:6379"}


def test_the_users_names_are_understood_as_they_wrote_them() -> None:
    users = {"DefaultConnection": "Host=primary;Database=workflows", "Redis": "localhost:6379"}
    settings = load(OrchestratorSettings, users | {"QueueTimeout": "300", "RetryAttempts": "3"})

    assert (settings.queue_span.total_seconds(), settings.retry_attempts) == (300, 3)


def test_more_lanes_than_connections_are_refused_with_both_names() -> None:
    with pytest.raises(SettingsError) as refused:
        load(OrchestratorSettings, SERVERS | {"PIPELINE_LANES": "4", "WORKFLOW_DATABASE_POOL_SIZE": "4"})
    (problem,) = refused.value.problems

    assert "PIPELINE_LANES (4)" in problem
    assert "WORKFLOW_DATABASE_POOL_SIZE (4)" in problem
