"""Runs attempts: async handlers as asyncio tasks, sync ones in child processes; and stops them.

After a handler was told to stop only its output still counts. Whatever else it ends with is taken for a
consequence, and the reason of the stop says what is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from workflowsystem.type.v1 import failure_pb2
from workflowsystem.worker.v1 import task_pb2

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import START_TO_CLOSE_TIMEOUT, UNKNOWN_TASK_TYPE, FailureInfo
from workflow_sdk.payloads import from_json
from workflow_sdk.task import TaskDefinition, TaskRegistry
from workflow_sdk.worker.attempts import LEASE_SHARE, Attempt, Attempts, StopReason, key_of
from workflow_sdk.worker.child_pool import ChildPool, NoChildProcessError
from workflow_sdk.worker.child_process import ChildCancelledError, ChildFailedError, ChildProcess
from workflow_sdk.worker.forks import end_forked_process
from workflow_sdk.worker.observer import AttemptOutcome, WorkerObserver
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.outputs import encode_output

TIMEOUT_GRACE_SECONDS = 5.0
REVOKED_GRACE_SECONDS = 1.0

Ending = bytes | FailureInfo | None
"""How a handler ended: with output, with a failure, or (None) because it was stopped."""

log = logging.getLogger("workflow_sdk.worker")


class Executor:
    """Starts what is leased, and puts what comes of it into the outbox."""

    def __init__(
        self,
        registry: TaskRegistry,
        pool: ChildPool,
        attempts: Attempts,
        outbox: Outbox,
        observer: WorkerObserver,
        monotonic: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._attempts = attempts
        self._outbox = outbox
        self._observer = observer
        self._monotonic = monotonic
        self._draining = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self.maximum_payload_bytes = 1024 * 1024
        self.on_sign: Callable[[Attempt], None] = lambda _: None

    def start(self, lease: task_pb2.Lease, ttl: float) -> None:
        """Run a leased task. A lease that is running already is ignored.

        Raise nothing: a lease that breaks this code is reported as failed, and harms no other one.
        """
        self._outbox.leased()
        key = key_of(lease.task)
        if key in self._attempts:
            return
        now = self._monotonic()
        attempt = Attempt(key, lease, _context(lease), now, now + ttl * LEASE_SHARE)
        self._attempts.add(attempt)
        try:
            self._launch(attempt)
        except Exception as error:
            log.exception("a lease could not be started", extra={"event": "lease_not_started"})
            self._end(attempt, FailureInfo.of(error))

    def stop(self, attempt: Attempt, reason: StopReason, grace: float) -> None:
        """Tell a handler to stop within `grace` seconds. The first reason stands; a lost lease beats it."""
        lost = (StopReason.REVOKED, StopReason.LEASE_EXPIRED)
        if attempt.stop_reason is not None and (attempt.stop_reason in lost or reason not in lost):
            return
        attempt.stop_reason = reason
        attempt.context.cancelled = True
        if attempt.stop is not None:
            attempt.stop(grace)

    def drain(self) -> None:
        """Hand back what is leased from now on, and what waits for a child process."""
        self._draining = True
        for attempt in self._attempts:
            if attempt.waiting:
                self.stop(attempt, StopReason.DRAINING, 0.0)

    def _launch(self, attempt: Attempt) -> None:
        lease = attempt.lease
        if lease.HasField("heartbeat_timeout"):
            attempt.heartbeat_timeout = _seconds(lease.heartbeat_timeout)
        attempt.context._tell = lambda progress: self._sign_from_any_thread(attempt, progress)
        definition = self._registry.get(lease.task_type)
        if self._draining:
            attempt.stop_reason = StopReason.DRAINING
            self._end(attempt, None)
        elif definition is None:
            self._end(attempt, self._unknown(lease.task_type))
        else:
            self._run(attempt, definition)

    def _run(self, attempt: Attempt, definition: TaskDefinition) -> None:
        run = self._run_async if definition.is_async else self._run_sync
        task = self._loop.create_task(run(attempt, definition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        attempt.stop = lambda grace: self._cancel(attempt, task, grace)

    def _begin(self, attempt: Attempt) -> None:
        """Count the time of an attempt from here: its handler is about to run."""
        if attempt.lease.HasField("start_to_close"):
            seconds = _seconds(attempt.lease.start_to_close)
            attempt.timer = self._loop.call_later(seconds, self._timed_out, attempt)
        try:
            self._observer.task_started(attempt.context)
        except Exception:  # an observer must not keep an attempt from its end
            log.exception("the observer failed", extra={"event": "observer_failed"})

    async def _run_async(self, attempt: Attempt, definition: TaskDefinition) -> None:
        ending: Ending
        raised: BaseException | None = None
        try:
            self._begin(attempt)
            value = definition.call(from_json(attempt.lease.input), attempt.context)
            if inspect.isawaitable(value):
                value = await value
            ending = encode_output(value, self.maximum_payload_bytes)
        except asyncio.CancelledError as error:
            raised = error
            ending = None if attempt.stop_reason else FailureInfo.of(error)
        except BaseException as error:  # SystemExit ends the handler, not the worker
            raised = error
            ending = FailureInfo.of(error)
        if os.getpid() != self._pid:  # going on, it would use the worker's connections
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
                "%s is handed back, as it got no child process: %s",
                definition.type,
                problem,
                extra={"event": "task_handed_back", "task_type": definition.type, "problem": problem},
            )
            attempt.stop_reason = attempt.stop_reason or StopReason.NO_PROCESS
            ending = None
        except Exception as error:  # a defect, or a broken connection: the attempt ends in any case
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
        attempt.stop = child.stop
        self._begin(attempt)
        header = _run_header(attempt.context, definition, self.maximum_payload_bytes)
        return await child.run(header, attempt.lease.input, lambda progress: self._sign(attempt, progress))

    def _cancel(self, attempt: Attempt, task: asyncio.Task[None], grace: float) -> None:
        """Cancel an asyncio task; one that does not end in time is given up: it can't be killed."""
        task.cancel()

        def give_up() -> None:
            if attempt.key in self._attempts:
                log.warning(
                    "the handler of %s goes on though it was cancelled: the worker gives it up",
                    attempt.lease.task_type,
                    extra={"event": "handler_ignored_cancel", "task_type": attempt.lease.task_type},
                )
                self._end(attempt, None)

        self._loop.call_later(max(0.0, grace), give_up)

    def _timed_out(self, attempt: Attempt) -> None:
        if attempt.stop_reason is None:
            self.stop(attempt, StopReason.TIMED_OUT, TIMEOUT_GRACE_SECONDS)

    def _sign_from_any_thread(self, attempt: Attempt, progress: bytes | None) -> None:
        if threading.get_ident() == self._thread:
            self._sign(attempt, progress)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the attempt with it
                self._loop.call_soon_threadsafe(self._sign, attempt, progress)

    def _sign(self, attempt: Attempt, progress: bytes | None) -> None:
        if self._attempts.get(attempt.key) is not attempt:
            return  # it has ended; a thread or a task that it left behind says this
        attempt.handler_alive = True
        if progress is not None:
            attempt.progress = progress
        self.on_sign(attempt)

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        if not self._attempts.remove(attempt):
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        try:
            result, outcome, failure = self._result_of(attempt, ending)
        except Exception as error:  # such as a text that protobuf refuses: the attempt ends in any case
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
        reason = attempt.stop_reason
        if reason in (StopReason.REVOKED, StopReason.LEASE_EXPIRED):
            outcome = AttemptOutcome.LOST
        elif isinstance(ending, bytes) and reason is not StopReason.TIMED_OUT:
            outcome = AttemptOutcome.SUCCEEDED
            result.output = ending
        elif reason is StopReason.CANCEL_REQUESTED:
            outcome = AttemptOutcome.CANCELLED
            result.cancelled.SetInParent()
        elif reason in (StopReason.DRAINING, StopReason.NO_PROCESS):
            outcome = AttemptOutcome.HANDED_BACK
            result.handed_back.SetInParent()
        else:
            timed_out = reason is StopReason.TIMED_OUT
            outcome = AttemptOutcome.TIMED_OUT if timed_out else AttemptOutcome.FAILED
            failure = self._timeout(attempt) if timed_out or not isinstance(ending, FailureInfo) else ending
            result.failure.CopyFrom(to_failure(failure))
        return result, outcome, failure

    def _timeout(self, attempt: Attempt) -> FailureInfo:
        seconds = _seconds(attempt.lease.start_to_close)
        return FailureInfo(START_TO_CLOSE_TIMEOUT, f"the handler was stopped after {seconds:g} s")

    def _unknown(self, task_type: str) -> FailureInfo:
        types = ", ".join(self._registry.types)
        message = (
            f"this worker has no handler for {task_type!r}; it has {types}. Add the module with the"
            " handler to WORKER_MODULES, or give the task a queue that only the right workers serve"
        )
        return FailureInfo(UNKNOWN_TASK_TYPE, message, non_retryable=True)


def to_failure(info: FailureInfo) -> failure_pb2.Failure:
    """The contract's message."""
    return failure_pb2.Failure(
        type=info.type, message=info.message, details=info.details, non_retryable=info.non_retryable
    )


def _context(lease: task_pb2.Lease) -> TaskContext:
    return TaskContext(
        execution_id=lease.task.execution_id,
        workflow_id=lease.workflow_id,
        namespace=lease.namespace,
        task_id=lease.task.task_id,
        item=lease.task.item if lease.task.HasField("item") else None,
        task_type=lease.task_type,
        attempt=lease.attempt,
        idempotency_key=lease.idempotency_key,
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


def _seconds(duration: Duration) -> float:
    return float(duration.seconds) + duration.nanos / 1e9
