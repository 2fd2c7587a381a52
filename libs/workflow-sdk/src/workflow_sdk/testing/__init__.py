"""Tools for tests of handlers and clients that need no server.

    from workflow_sdk.testing import run_handler

    def test_a_charge_is_refused_for_nothing():
        result = run_handler(charge, {"amount": 0})
        assert result.outcome == "failed"
        assert result.failure.non_retryable

`FakeTaskContext` is a context for a handler that a test calls itself. `run_handler` treats a handler as a
worker does. `FakeOrchestrator` gives tasks to a real `Worker`, and `FakeGateway` answers a real `Client`.
"""

from workflow_sdk.testing.context import FakeTaskContext
from workflow_sdk.testing.gateway import FakeGateway, RefusedError
from workflow_sdk.testing.handlers import run_async_handler, run_handler
from workflow_sdk.testing.orchestrator import FakeOrchestrator, FakeSession
from workflow_sdk.testing.results import HandlerResult

__all__ = [
    "FakeGateway",
    "FakeOrchestrator",
    "FakeSession",
    "FakeTaskContext",
    "HandlerResult",
    "RefusedError",
    "run_async_handler",
    "run_handler",
]
