"""Runs a handler as a worker does, in the process of the test.

The input and the output pass through JSON, with the worker's limits. An exception becomes the attempt's
failure. A stopped handler receives what the worker sends: CancelledError if it is async, else TaskCancelled.
There is no child process, so a debugger, patches and fixtures of the test work within sync handlers too. A
sync handler that does not stop is not killed, and a crash of the interpreter ends the test.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Unpack

from workflow_contract.limits import MAX_PAYLOAD_BYTES

from workflow_sdk.failures import FailureInfo, TaskCancelled
from workflow_sdk.payloads import from_json, to_json
from workflow_sdk.task import TaskDefinition, definition_of
from workflow_sdk.testing.context import ContextFields, FakeTaskContext
from workflow_sdk.testing.interrupts import interrupt_main_thread, require_main_thread
from workflow_sdk.testing.results import HandlerResult
from workflow_sdk.worker.attempts import StopReason
from workflow_sdk.worker.endings import Ending, failure_of, outcome_of
from workflow_sdk.worker.observer import AttemptOutcome
from workflow_sdk.worker.outputs import encode_output

GRACE_SECONDS = 1.0
"""How long a cancelled async handler may go on, unless a test says otherwise."""


def run_handler(
    handler: Callable[..., Any],
    input: Any = None,
    *,
    start_to_close: float | None = None,
    cancel_after: float | None = None,
    cancel_at_heartbeat: int | None = None,
    grace: float = GRACE_SECONDS,
    max_output_bytes: int = MAX_PAYLOAD_BYTES,
    **context: Unpack[ContextFields],
) -> HandlerResult:
    """Run a function with `@task` as an attempt, and return how it ended.

    `context` are fields of its TaskContext, for example `attempt=2` or `item=0`. The handler is stopped by a
    timeout after `start_to_close` seconds. It is cancelled after `cancel_after` seconds, or at a heartbeat: 1
    is the first. An async handler that goes on for `grace` seconds after that is given up; one that never
    ends keeps this function waiting.

    Raises TaskDefinitionError if the function is not a handler, and PayloadError if the input is not JSON.
    Seconds to stop a sync handler need the main thread: other threads raise RuntimeError.
    """
    run = _Run(handler, input, start_to_close, cancel_after, cancel_at_heartbeat, max_output_bytes, context)
    if not run.definition.is_async:
        return run.called()
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("inside a coroutine an async handler needs `await run_async_handler(...)`")
    return asyncio.run(run.awaited(grace))


async def run_async_handler(
    handler: Callable[..., Any],
    input: Any = None,
    *,
    start_to_close: float | None = None,
    cancel_after: float | None = None,
    cancel_at_heartbeat: int | None = None,
    grace: float = GRACE_SECONDS,
    max_output_bytes: int = MAX_PAYLOAD_BYTES,
    **context: Unpack[ContextFields],
) -> HandlerResult:
    """Run an async handler on the event loop of the test. The rest is as in `run_handler`."""
    run = _Run(handler, input, start_to_close, cancel_after, cancel_at_heartbeat, max_output_bytes, context)
    if not run.definition.is_async:
        raise TypeError(f"{run.definition.qualified_name} is not async: call run_handler")
    return await run.awaited(grace)


class _Run:
    """One attempt."""

    def __init__(
        self,
        handler: Callable[..., Any],
        input: Any,
        start_to_close: float | None,
        cancel_after: float | None,
        cancel_at_heartbeat: int | None,
        max_output_bytes: int,
        context: ContextFields,
    ) -> None:
        self.definition: TaskDefinition = definition_of(handler)
        self._input = to_json(input, "input")
        self._start_to_close = start_to_close
        self._cancel_at_heartbeat = cancel_at_heartbeat
        self._max_output_bytes = max_output_bytes
        times = ((StopReason.TIMED_OUT, start_to_close), (StopReason.CANCEL_REQUESTED, cancel_after))
        self._stops = [(seconds, reason) for reason, seconds in times if seconds is not None]
        self._reason: StopReason | None = None
        self._task: asyncio.Task[Ending] | None = None
        self._stopped = asyncio.Event()
        self._context = FakeTaskContext(
            task_type=self.definition.type, on_heartbeat=self._heartbeat, **context
        )

    def called(self) -> HandlerResult:
        """Run a sync handler. Raise RuntimeError if it can't be stopped as the test wants."""
        if self._stops:
            require_main_thread()
        ending: Ending
        try:
            with interrupt_main_thread(self._stops, self._stop):
                value = self.definition.call(from_json(self._input), self._context)
            ending = encode_output(value, self._max_output_bytes)
        except (Exception, SystemExit, TaskCancelled, asyncio.CancelledError) as error:
            stopped = self._context.cancelled and isinstance(error, TaskCancelled)
            ending = None if stopped else FailureInfo.of(error)
        return self._result(ending)

    async def awaited(self, grace: float) -> HandlerResult:
        """Run an async handler."""
        task = self._task = asyncio.create_task(self._call())
        stopped = asyncio.create_task(self._stopped.wait())
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(seconds, self._stop, reason) for seconds, reason in self._stops]
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([task], timeout=grace)
            gave_up = not task.done()
        finally:
            for timer in timers:
                timer.cancel()
            task.cancel()
            stopped.cancel()
        ending = None if gave_up or task.cancelled() else task.result()
        return self._result(ending, ignored_stop=gave_up)

    async def _call(self) -> Ending:
        try:
            value = self.definition.call(from_json(self._input), self._context)
            if inspect.isawaitable(value):
                value = await value
            return encode_output(value, self._max_output_bytes)
        except asyncio.CancelledError as error:
            return None if self._reason else FailureInfo.of(error)
        except (Exception, SystemExit, TaskCancelled) as error:
            return FailureInfo.of(error)

    def _heartbeat(self, _: bytes | None) -> None:
        is_time = self._context.heartbeats == self._cancel_at_heartbeat
        if is_time and self._stop(StopReason.CANCEL_REQUESTED) and self._task is None:
            raise TaskCancelled

    def _stop(self, reason: StopReason) -> bool:
        """Stop the handler. Return False if it has been stopped already: the first reason stays."""
        if self._reason is not None:
            return False
        self._reason = reason
        self._context.cancelled = True
        self._stopped.set()
        if self._task is not None:
            self._task.cancel()
        return True

    def _result(self, ending: Ending, *, ignored_stop: bool = False) -> HandlerResult:
        outcome = outcome_of(ending, self._reason)
        failed = outcome in (AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT)
        output = ending if isinstance(ending, bytes) and outcome is AttemptOutcome.SUCCEEDED else b""
        return HandlerResult(
            outcome=outcome,
            output=from_json(output),
            failure=failure_of(ending, self._reason, self._start_to_close or 0.0) if failed else None,
            progress=tuple(self._context.progress),
            heartbeats=self._context.heartbeats,
            ignored_stop=ignored_stop,
        )
