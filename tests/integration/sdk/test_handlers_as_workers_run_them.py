"""`run_handler` ends as a real worker does with the same handler, input and stop."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from testkit import eventually
from workflow_sdk.task import definition_of
from workflow_sdk.testing import FakeOrchestrator, HandlerResult, run_async_handler, run_handler
from workflow_sdk.testing.results import result_of

from tests.integration.sdk import attempted_handlers as handlers
from tests.integration.sdk.conftest import StartWorker

Handler = Callable[..., Any]

ENDINGS: list[tuple[Handler, Any]] = [
    (handlers.echo, {"a": [1, 2.5, None, "ü"]}),
    (handlers.echo, None),
    (handlers.facts, None),
    (handlers.divide, 0),
    (handlers.refuse, None),
    (handlers.name_failure, None),
    (handlers.return_a_set, None),
    (handlers.return_much, None),
    (handlers.leave, None),
    (handlers.async_echo, [1]),
    (handlers.async_divide, 0),
    (handlers.async_leave, None),
    (handlers.async_cancels_itself, None),
]
STOPPED: list[tuple[Handler, Any]] = [
    (handlers.sleep, 30),
    (handlers.finish_although_cancelled, None),
    (handlers.break_when_cancelled, None),
    (handlers.async_sleep, 30),
    (handlers.async_finish_although_cancelled, None),
]


def name(value: Any) -> str:
    return getattr(value, "__name__", "")


async def run_here(handler: Handler, value: Any, **options: Any) -> HandlerResult:
    """Without what a worker does not report at the end of an attempt, and without the lines of tracebacks."""
    if definition_of(handler).is_async:
        result = await run_async_handler(handler, value, **options)
    else:
        result = run_handler(handler, value, **options)
    failure = None if result.failure is None else replace(result.failure, details="")
    return replace(result, failure=failure, progress=(), heartbeats=0)


async def run_in_a_worker(
    orchestrator: FakeOrchestrator, handler: Handler, value: Any, **options: Any
) -> Any:
    result = await orchestrator.run(definition_of(handler).type, value, **options)
    return result if result.failure is None else replace(result, failure=replace(result.failure, details=""))


@pytest.mark.parametrize(("handler", "value"), ENDINGS, ids=name)
async def test_a_handler_ends_as_in_a_worker(
    handler: Handler, value: Any, orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handler, child_processes=1)

    here = await run_here(handler, value, attempt=2, item=4)

    assert here == await run_in_a_worker(orchestrator, handler, value, attempt=2, item=4)


@pytest.mark.parametrize(("handler", "value"), STOPPED, ids=name)
async def test_a_cancelled_handler_ends_as_in_a_worker(
    handler: Handler, value: Any, orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    def handler_runs() -> bool:
        return any(each.progress for batch in orchestrator.heartbeats for each in batch.heartbeats)

    await start_worker(handler, child_processes=1)
    lease = await orchestrator.give(definition_of(handler).type, value)
    await eventually(handler_runs)

    orchestrator.cancel(lease)

    reported = result_of(await orchestrator.result_of(lease))
    assert await run_here(handler, value, cancel_after=0.05) == reported


@pytest.mark.parametrize(("handler", "value"), STOPPED, ids=name)
async def test_a_handler_that_runs_too_long_ends_as_in_a_worker(
    handler: Handler, value: Any, orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handler, child_processes=1)

    here = await run_here(handler, value, start_to_close=0.2)

    assert here == await run_in_a_worker(orchestrator, handler, value, start_to_close=0.2)
