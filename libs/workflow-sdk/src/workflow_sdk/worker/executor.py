"""Runs attempts: async handlers as asyncio tasks, sync handlers in child processes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Callable

from workflow_contract.limits import MAX_PAYLOAD_BYTES
from workflowsystem.type.v1 import failure_pb2
from workflowsystem.worker.v1 import task_pb2

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import UNKNOWN_TASK_TYPE, FailureInfo
from workflow_sdk.payloads import from_json
from workflow_sdk.task import TaskDefinition, TaskRegistry
from workflow_sdk.worker.attempts import (
    LEASE_SHARE,
    REVOKED_GRACE_SECONDS,
    Attempt,
    Attempts,
    StopReason,
    TaskRef,
    in_seconds,
    key_of,
)
from workflow_sdk.worker.child_pool import ChildPool, NoChildProcessError
from workflow_sdk.worker.child_process import ChildCancelledError, ChildFailedError, ChildProcess
from workflow_sdk.worker.endings import Ending, failure_of, outcome_of
from workflow_sdk.worker.forks import end_forked_process
from workflow_sdk.worker.heartbeats import Heartbeats
from workflow_sdk.worker.observer import AttemptOutcome, WorkerObserver
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.outputs import encode_output

TIMEOUT_GRACE_SECONDS = 5.0
"""How long a handler may take to stop after its start_to_close has passed."""

log = logging.getLogger("workflow_sdk.worker")


class Executor:
    """Runs what is leased, and puts the results into the outbox."""

    def __init__(
        self,
        registry: TaskRegistry,
        pool: ChildPool,
        attempts: Attempts,
        outbox: Outbox,
        heartbeats: Heartbeats,
        observer: WorkerObserver,
        monotonic: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._attempts = attempts
        self._outbox = outbox
        self._heartbeats = heartbeats
        self._observer = observer
        self._monotonic = monotonic
        self._draining = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._max_output_bytes = MAX_PAYLOAD_BYTES

    def begin_session(self, max_output_bytes: int) -> None:
        """Note the limit for outputs that the orchestrator of the new session has."""
        self._max_output_bytes = max_output_bytes

    def start(self, lease: task_pb2.Lease, ttl: float) -> None:
        """Run a leased task. Ignore a lease that is running already.

        Raise nothing: if a lease breaks this code, its attempt is reported as failed, and the others go on.
        """
        self._outbox.leased()
        key = key_of(lease.task)
        if key in self._attempts:
            return
        now = self._monotonic()
        attempt = Attempt(lease, now, now + ttl * LEASE_SHARE, self._heartbeat_from_any_thread)
        self._attempts.add(attempt)
        try:
            self._launch(attempt)
        except Exception as error:
            log.exception("a lease could not be started", extra={"event": "lease_not_started"})
            self._end(attempt, FailureInfo.of(error))

    def cancel(self, claim: TaskRef, grace: float) -> None:
        """Stop the handler of a claim within `grace` seconds, because its execution is being cancelled."""
        self._stop(claim, StopReason.CANCEL_REQUESTED, grace)

    def revoke(self, claim: TaskRef) -> None:
        """Stop the handler of a claim that the worker does not hold any more."""
        self._stop(claim, StopReason.REVOKED, REVOKED_GRACE_SECONDS)

    def _stop(self, claim: TaskRef, reason: StopReason, grace: float) -> None:
        attempt = self._attempts.get(claim)
        if attempt is not None:
            attempt.stop(reason, grace)

    def drain(self) -> None:
        """Hand back what is leased from now on, and what waits for a child process."""
        self._draining = True
        for attempt in self._attempts:
            if attempt.waiting:
                attempt.stop(StopReason.DRAINING, 0.0)

    def _launch(self, attempt: Attempt) -> None:
        task_type = attempt.lease.task_type
        definition = self._registry.get(task_type)
        if self._draining:
            attempt.stop_reason = StopReason.DRAINING
            self._end(attempt, None)
        elif definition is None:
            self._end(attempt, self._unknown(task_type))
        else:
            self._run(attempt, definition)

    def _run(self, attempt: Attempt, definition: TaskDefinition) -> None:
        run = self._run_async if definition.is_async else self._run_sync
        task = self._loop.create_task(run(attempt, definition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        attempt.interrupt = lambda grace: self._cancel(attempt, task, grace)

    def _begin(self, attempt: Attempt) -> None:
        """Start the attempt's timer: its handler is about to run."""
        if attempt.lease.HasField("start_to_close"):
            seconds = in_seconds(attempt.lease.start_to_close)
            attempt.timer = self._loop.call_later(seconds, self._timed_out, attempt)
        try:
            self._observer.task_started(attempt.context)
        except Exception:  # a faulty observer must not stop the attempt
            log.exception("the observer failed", extra={"event": "observer_failed"})

    async def _run_async(self, attempt: Attempt, definition: TaskDefinition) -> None:
        ending: Ending
        raised: BaseException | None = None
        try:
            self._begin(attempt)
            value = definition.call(from_json(attempt.lease.input), attempt.context)
            if inspect.isawaitable(value):
                value = await value
            ending = encode_output(value, self._max_output_bytes)
        except asyncio.CancelledError as error:
            raised = error
            ending = None if attempt.stop_reason else FailureInfo.of(error)
        except BaseException as error:  # SystemExit ends the handler, not the worker
            raised = error
            ending = FailureInfo.of(error)
        if os.getpid() != self._pid:  # a fork: if it continued, it would use the worker's connections
            end_forked_process(raised)
        self._end(attempt, ending)

    async def _run_sync(self, attempt: Attempt, definition: TaskDefinition) -> None:
        ending: Ending
        attempt.waiting = True
        try:
            async with self._pool.child() as child:
                attempt.waiting = False
                ending = await self._run_in(child, attempt, definition)
        except (asyncio.CancelledError, ChildCancelledError):
            ending = None
        except ChildFailedError as error:
            ending = error.failure
        except NoChildProcessError as error:
            problem = str(error)[:1000]
            log.warning(
                "%s is handed back, because it got no child process: %s",
                definition.type,
                problem,
                extra={"event": "task_handed_back", "task_type": definition.type, "problem": problem},
            )
            attempt.stop_reason = attempt.stop_reason or StopReason.NO_PROCESS
            ending = None
        except Exception as error:  # a defect, or a broken connection: the attempt must end in any case
            name = type(error).__name__
            log.error(
                "the child process that ran %s failed: %s",
                definition.type,
                name,
                extra={"event": "child_process_failed", "task_type": definition.type, "error": name},
            )
            ending = FailureInfo.of(error)
        self._end(attempt, ending)

    async def _run_in(self, child: ChildProcess, attempt: Attempt, definition: TaskDefinition) -> Ending:
        if attempt.stop_reason is not None:
            return None
        attempt.interrupt = child.stop
        self._begin(attempt)
        header = _run_header(attempt.context, definition, self._max_output_bytes)
        return await child.run(
            header, attempt.lease.input, lambda progress: self._heartbeat(attempt, progress)
        )

    def _cancel(self, attempt: Attempt, task: asyncio.Task[None], grace: float) -> None:
        """Cancel an asyncio task. If it does not end in time, give its attempt up: it can't be killed."""
        task.cancel()

        def give_up() -> None:
            if attempt.key in self._attempts:
                log.warning(
                    "the handler of %s goes on although it was cancelled: the worker gives it up",
                    attempt.lease.task_type,
                    extra={"event": "handler_ignored_cancel", "task_type": attempt.lease.task_type},
                )
                self._end(attempt, None)

        self._loop.call_later(max(0.0, grace), give_up)

    def _timed_out(self, attempt: Attempt) -> None:
        if attempt.stop_reason is None:
            attempt.stop(StopReason.TIMED_OUT, TIMEOUT_GRACE_SECONDS)

    def _heartbeat_from_any_thread(self, attempt: Attempt, progress: bytes | None) -> None:
        if threading.get_ident() == self._thread:
            self._heartbeat(attempt, progress)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the attempt with it
                self._loop.call_soon_threadsafe(self._heartbeat, attempt, progress)

    def _heartbeat(self, attempt: Attempt, progress: bytes | None) -> None:
        if self._attempts.get(attempt.key) is attempt:
            self._heartbeats.handler_alive(attempt, progress)
        # else it has ended: a thread or an asyncio task that it left behind sent this

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        if not self._attempts.remove(attempt):
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        try:
            result, outcome, failure = self._result_of(attempt, ending)
        except (
            Exception
        ) as error:  # for example a text that protobuf refuses: the attempt must end in any case
            log.exception("a result could not be written", extra={"event": "result_not_written"})
            result, outcome, failure = self._result_of(attempt, FailureInfo.of(error))
        if outcome is AttemptOutcome.LOST:
            self._outbox.grant_room()
        else:
            self._outbox.add_result(attempt, result)
        try:
            seconds = self._monotonic() - attempt.leased_at
            self._observer.task_ended(attempt.context, outcome, seconds, failure)
        except Exception:
            log.exception("the observer failed", extra={"event": "observer_failed"})

    def _result_of(
        self, attempt: Attempt, ending: Ending
    ) -> tuple[task_pb2.TaskResult, AttemptOutcome, FailureInfo | None]:
        result = task_pb2.TaskResult(task=attempt.lease.task)
        failure: FailureInfo | None = None
        outcome = outcome_of(ending, attempt.stop_reason)
        if isinstance(ending, bytes) and outcome is AttemptOutcome.SUCCEEDED:
            result.output = ending
        elif outcome is AttemptOutcome.CANCELLED:
            result.cancelled.SetInParent()
        elif outcome is AttemptOutcome.HANDED_BACK:
            result.handed_back.SetInParent()
        elif outcome is not AttemptOutcome.LOST:
            failure = failure_of(ending, attempt.stop_reason, in_seconds(attempt.lease.start_to_close))
            result.failure.CopyFrom(to_failure(failure))
        return result, outcome, failure

    def _unknown(self, task_type: str) -> FailureInfo:
        types = ", ".join(self._registry.types)
        message = (
            f"this worker has no handler for {task_type!r}; it has {types}. Add the module with the"
            " handler to WORKER_MODULES, or give the task a queue that only the right workers serve"
        )
        return FailureInfo(UNKNOWN_TASK_TYPE, message, non_retryable=True)


def to_failure(info: FailureInfo) -> failure_pb2.Failure:
    """Return a failure as the contract's message."""
    return failure_pb2.Failure(
        type=info.type, message=info.message, details=info.details, non_retryable=info.non_retryable
    )


def _run_header(context: TaskContext, definition: TaskDefinition, maximum_bytes: int) -> dict[str, object]:
    public = ("execution_id", "workflow_id", "namespace", "task_id", "item", "task_type", "attempt")
    shown = {name: getattr(context, name) for name in (*public, "idempotency_key")}
    return {
        "kind": "run",
        "module": definition.module,
        "name": definition.qualified_name,
        "context": shown,
        "maximum_payload_bytes": maximum_bytes,
    }
