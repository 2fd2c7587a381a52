from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from workflow_sdk import TaskContext
from workflow_sdk.failures import UNKNOWN_TASK_TYPE, FailureInfo
from workflow_sdk.worker.observer import AttemptOutcome
from workflow_worker.telemetry import AttemptTelemetry

CONTEXT = TaskContext("e-1", "orders", "default", "pay", 3, "orders.pay", 2, "key")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture(autouse=True)
def _nothing_stays_bound() -> Iterator[None]:
    with structlog.contextvars.bound_contextvars():
        yield
    structlog.contextvars.clear_contextvars()


def attempts(registry: CollectorRegistry, task_type: str, outcome: str) -> float | None:
    labels = {"task_type": task_type, "outcome": outcome}
    return registry.get_sample_value("workflow_worker_attempts_total", labels)


def test_attempts_are_counted_and_timed_by_type_and_outcome(registry: CollectorRegistry) -> None:
    telemetry = AttemptTelemetry(registry)
    telemetry.task_ended(CONTEXT, AttemptOutcome.SUCCEEDED, 0.2, None)
    telemetry.task_ended(CONTEXT, AttemptOutcome.HANDED_BACK, 0.3, None)
    assert attempts(registry, "orders.pay", "succeeded") == 1
    assert attempts(registry, "orders.pay", "handed_back") == 1
    seconds = registry.get_sample_value("workflow_task_duration_seconds_sum", {"task_type": "orders.pay"})

    assert seconds == pytest.approx(0.5)


def test_types_that_nobody_knows_share_one_label(registry: CollectorRegistry) -> None:
    telemetry = AttemptTelemetry(registry)
    with capture_logs():
        telemetry.task_ended(
            CONTEXT, AttemptOutcome.FAILED, 0.1, FailureInfo(UNKNOWN_TASK_TYPE, "no handler")
        )

    assert attempts(registry, "unknown", "failed") == 1
    assert attempts(registry, "orders.pay", "failed") is None


def test_a_failure_is_logged_with_all_ids(registry: CollectorRegistry) -> None:
    with capture_logs() as lines:
        AttemptTelemetry(registry).task_ended(
            CONTEXT, AttemptOutcome.FAILED, 0.1, FailureInfo("Jam", "no paper")
        )
    (line,) = lines
    expected = {"execution_id": "e-1", "workflow_id": "orders", "task_id": "pay", "item": 3, "attempt": 2}

    assert line | expected | {"event": "task_failed", "failure_type": "Jam", "log_level": "info"} == line


@pytest.mark.parametrize(("verbose", "events"), [(False, []), (True, ["task_started", "task_succeeded"])])
def test_successes_are_logged_only_where_wanted(
    registry: CollectorRegistry, verbose: bool, events: list[str]
) -> None:
    telemetry = AttemptTelemetry(registry, verbose=verbose)
    with capture_logs() as lines:
        telemetry.task_started(CONTEXT)
        telemetry.task_ended(CONTEXT, AttemptOutcome.SUCCEEDED, 0.1, None)

    assert [line["event"] for line in lines] == events


def test_refused_reports_are_counted(registry: CollectorRegistry) -> None:
    with capture_logs():
        AttemptTelemetry(registry).report_refused(CONTEXT, "STALE")
    assert registry.get_sample_value("workflow_worker_reports_refused_total", {"status": "STALE"}) == 1
