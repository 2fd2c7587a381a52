"""One session after the other with the orchestrator, for async or for sync handlers.

Results and leases outlive a session. A worker has one lane for its async handlers and one for its sync
handlers, because it can run far more async ones. Each lane asks for only as many tasks as it can run, so no
task waits in this worker while another worker could run it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.backoff import Backoff
from workflow_sdk.calls import cancelled_here, failure_of
from workflow_sdk.task import TaskRegistry
from workflow_sdk.worker.attempts import Attempts, StopReason, key_of
from workflow_sdk.worker.background import keep_running
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.executor import Executor
from workflow_sdk.worker.heartbeats import Heartbeats
from workflow_sdk.worker.observer import WorkerObserver
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.session import Session, SessionLostError

STOP_SECONDS = 2.0
"""How long handlers may take to stop after the grace is over."""
REPORT_SECONDS = 3.0
"""The shortest time for which a draining lane waits until its last results are acknowledged."""

MAX_WAIT_SECONDS = 2.0
"""The longest wait between two attempts to connect."""

log = logging.getLogger("workflow_sdk.worker")


class Lane:
    """Sends `hello` at the beginning of every session, to the orchestrator at `address`.

    A lane for sync handlers holds no more tasks than there are child processes: a task that waits for one
    uses up its start_to_close.
    """

    def __init__(
        self,
        hello: messages.Hello,
        registry: TaskRegistry,
        pool: ChildPool,
        observer: WorkerObserver,
        monotonic: Callable[[], float],
        *,
        address: str = "",
        is_async: bool = True,
    ) -> None:
        self.connected = False
        self.problem = ""
        self.processed = 0
        self._defect = ""  # the last defect that was logged
        self._logged_lost = False  # since the last session
        self._hello = hello
        self._address = address
        self._is_async = is_async
        self._pool = pool
        self._observer = observer
        self._monotonic = monotonic
        self._attempts = Attempts()
        self._outbox = Outbox(self._room)
        self._heartbeats = Heartbeats(self._attempts, self._outbox, monotonic)
        self._executor = Executor(
            registry, pool, self._attempts, self._outbox, self._heartbeats, observer, monotonic
        )
        self._session: Session | None = None

    @property
    def busy(self) -> int:
        """The number of attempts that it holds."""
        return len(self._attempts)

    @property
    def slots(self) -> int:
        """The number of attempts that it can run at the same time."""
        return self._hello.slots

    async def run(self, open_stream: Callable[[], Any]) -> None:
        """Run until cancelled. When a session ends, for whatever reason, open another one.

        For sync handlers, first wait for the child processes. The renewal of leases starts again if it fails:
        without it, handlers would outlive their leases.
        """
        if not self._is_async:
            self._pool.start(self._outbox.grant_room)
            await self._pool.ready()
        async with asyncio.TaskGroup() as work:
            work.create_task(keep_running(self._heartbeats.run, "the renewal of leases"))
            work.create_task(keep_running(lambda: self._keep_connected(open_stream), "the lane"))

    def _room(self) -> int:
        """Return how many more tasks can run now."""
        return (self.slots if self._is_async else self._pool.usable) - len(self._attempts)

    async def drain(self, grace: float) -> None:
        """Accept no more tasks, finish within `grace` seconds, hand the others back, report all results.

        If the orchestrator does not answer, the results wait until the grace is over: in a rollout both
        restart.
        """
        ends = self._monotonic() + grace
        self._outbox.drain()
        self._executor.drain()
        if not await self._attempts.none_left(grace):
            for attempt in self._attempts:
                attempt.stop(StopReason.DRAINING, STOP_SECONDS)
            await self._attempts.none_left(STOP_SECONDS + 1.0)
        if not await self._outbox.all_acknowledged(max(REPORT_SECONDS, ends - self._monotonic())):
            log.warning(
                "%d results were not acknowledged: their tasks run again when their leases have expired",
                len(self._outbox),
                extra={"event": "results_not_acknowledged", "results": len(self._outbox)},
            )
        if self._session is not None:
            session = self._session
            session.leave()
            await session.over()  # else the stream would end as if the worker had died

    async def _keep_connected(self, open_stream: Callable[[], Any]) -> None:
        backoff = Backoff(maximum=MAX_WAIT_SECONDS)
        while True:
            try:
                await self._one_session(open_stream, backoff)
                self.problem = "the orchestrator ended the session; connecting again"
            except asyncio.CancelledError as error:  # perhaps only by the other side
                if cancelled_here():
                    raise
                self._note_lost(error)
            except Exception as error:
                self._note_lost(error)
            finally:
                self.connected = False
                self._session = None
            await asyncio.sleep(backoff.next())

    def _note_lost(self, error: BaseException) -> None:
        """Log the loss of a session: once for each outage, not for each try to connect."""
        problem = _described(error)
        fields = {"address": self._address, "problem": problem}
        if isinstance(error, grpc.RpcError | SessionLostError | asyncio.CancelledError):
            first, self._logged_lost = not self._logged_lost, True
            log.log(
                logging.WARNING if first else logging.DEBUG,
                "%s (%s); the worker tries again, at least every %g s, until it answers",
                f"the connection to {self._address} broke"
                if self.connected
                else f"{self._address} does not answer",
                problem,
                MAX_WAIT_SECONDS,
                extra={"event": "session_lost", **fields},
            )
        elif problem != self._defect:
            self._defect = problem
            log.error(
                "the session with %s failed: %s; the worker connects again",
                self._address,
                problem,
                exc_info=error,
                extra={"event": "session_failed", **fields},
            )
        self.problem = problem

    def _log_connected(self) -> None:
        hello = self._hello
        kind = "async" if self._is_async else "sync"
        queues = ", ".join(hello.queues) or "default"
        log.info(
            "connected to %s as %s; %s tasks: %s; namespace %s; queue %s",
            *(self._address, hello.worker_id, kind, ", ".join(hello.task_types)),
            *(hello.namespace or "default", queues),
            extra={
                "event": "session_opened",
                "address": self._address,
                "slots": self.slots,
                "task_types": list(hello.task_types),
            },
        )

    async def _one_session(self, open_stream: Callable[[], Any], backoff: Backoff) -> None:
        session = self._new_session(open_stream)
        await session.open(self._hello)
        backoff.reset()
        self._session = session
        self.connected, self.problem, self._logged_lost = True, "", False
        self._log_connected()
        await session.run()

    def _new_session(self, open_stream: Callable[[], Any]) -> Session:
        return Session(open_stream(), self._executor, self._outbox, self._heartbeats, self._acknowledged)

    def _acknowledged(self, ack: task_pb2.ResultAck) -> None:
        entry = self._outbox.acknowledge(key_of(ack.task))
        if entry is None:
            return
        attempt, result = entry
        if ack.status != task_pb2.RESULT_STATUS_RECORDED:
            self._observer.report_refused(attempt.context, _status_word(ack.status))
        elif result.WhichOneof("outcome") != "handed_back":
            self.processed += 1


def _described(error: BaseException) -> str:
    if isinstance(error, grpc.RpcError | asyncio.CancelledError):
        return failure_of(error).message
    return str(error) if isinstance(error, SessionLostError) else f"{type(error).__name__}: {error}"


def _status_word(status: int) -> str:
    """Return the status without its prefix, or its number if a later release of the contract added it."""
    known = task_pb2.ResultStatus.values()
    if status not in known:
        return f"status {status}"
    return str(task_pb2.ResultStatus.Name(status)).removeprefix("RESULT_STATUS_")
