"""A context for a handler that the test calls itself."""

import pytest
from workflow_sdk import PayloadError, TaskContext
from workflow_sdk.testing import FakeTaskContext


def charge(order: dict[str, int], context: TaskContext) -> str:
    context.heartbeat({"charged": order["amount"]})
    return f"{context.idempotency_key}, attempt {context.attempt}"


def test_a_handler_can_be_called_with_it() -> None:
    context = FakeTaskContext(attempt=3, idempotency_key="key")

    assert charge({"amount": 5}, context) == "key, attempt 3"
    assert (context.heartbeats, context.progress) == (1, [{"charged": 5}])


def test_progress_is_kept_as_it_was_when_it_was_sent() -> None:
    context, progress = FakeTaskContext(), {"done": 1}

    context.heartbeat(progress)
    progress["done"] = 2

    assert context.progress == [{"done": 1}]


def test_progress_that_a_worker_refuses_is_refused_and_not_recorded() -> None:
    context = FakeTaskContext()

    with pytest.raises(PayloadError, match="progress has"):
        context.heartbeat("x" * 5000)

    assert (context.heartbeats, context.progress) == (0, [])
