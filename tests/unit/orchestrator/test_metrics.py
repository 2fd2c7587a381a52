"""What Prometheus sees of executions."""

import pytest
from execution_orchestrator.application.upkeep import metrics


def test_failures_of_ever_new_types_do_not_make_ever_more_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_reasons", set())
    types = [f"Error{number}" for number in range(metrics.MAX_REASONS + 50)]
    labels = [metrics._reason(type_) for type_ in types]

    assert labels[: metrics.MAX_REASONS] == types[: metrics.MAX_REASONS]
    assert set(labels[metrics.MAX_REASONS :]) == {"other"}
    assert metrics._reason("Error0") == "Error0"
