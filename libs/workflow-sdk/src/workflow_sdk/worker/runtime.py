"""The worker: keeps a session with the orchestrator, runs what is leased, drains when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from workflow.worker.v1 import worker_service_pb2 as messages
from workflow.worker.v1 import worker_service_pb2_grpc

from workflow_sdk import __version__
from workflow_sdk.backoff import Backoff
from workflow_sdk.calls import channel_options, failure_of
from workflow_sdk.task import TaskRegistry
from workflow_sdk.worker.attempts import Attempts, StopReason
from workflow_sdk.worker.child_main import MAIN_ALIAS
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.executor import Executor
from workflow_sdk.worker.heartbeats import Heartbeats
from workflow_sdk.worker.loop_lag import LoopLag
from workflow_sdk.worker.observer import SilentObserver, WorkerObserver
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.session import Session, SessionLostError

DEFAULT_ADDRESS = "127.0.0.1:7002"
DEFAULT_SLOTS = 100
DEFAULT_GRACE_SECONDS = 20.0
STOP_SECONDS = 2.0
"""What handlers get to stop in, when the grace is over."""
REPORT_SECONDS = 3.0
"""How long the last results may wait for their acknowledgement."""

log = logging.getLogger("workflow_sdk.worker")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker is."""

    connected: bool
    """A session is open."""
    problem: str
    """Why the last session ended or could not be opened; empty while connected."""
    draining: bool
    slots: int
    busy: int
    """Attempts in the worker's hands."""
    processed: int
    """Results that the orchestrator recorded."""
    loop_lag_seconds: float
    """The latest delay of the event loop."""
    worst_loop_lag_seconds: float
    """The longest delay of the last ten seconds."""


class Worker:
    """Runs the handlers of `tasks` (functions with `@task`) and `modules` for one orchestrator.

        worker = Worker("127.0.0.1:7002", modules=["orders.handlers"])
        worker.run_until_signalled()

    Async handlers run on the event loop, up to `slots` at a time; sync ones in up to `child_processes`
    (default: one per processor) clean Python processes, which import the same modules. By default there are
    100 slots, or two for each child process where all handlers are sync. `queues` empty is the default queue.
    Raises TaskDefinitionError where a handler or a module can't be used.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        tasks: Sequence[Callable[..., Any]] = (),
        modules: Sequence[str] = (),
        slots: int | None = None,
        child_processes: int | None = None,
        queues: Sequence[str] = (),
        namespace: str = "default",
        worker_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        grace: float = DEFAULT_GRACE_SECONDS,
        observer: WorkerObserver | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        _refuse_inside_a_child()
        self._registry = TaskRegistry(tasks, modules)
        if not len(self._registry):
            raise ValueError("a worker needs at least one handler: give it `tasks` or `modules`")
        self._address = address
        self._credentials = credentials
        self._grace = grace
        self._observer = observer or SilentObserver()
        self._monotonic = monotonic
        self._sync_modules = sorted({d.module for d in self._registry if not d.is_async} - {"__main__"})
        self._processes = child_processes or _processors()
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.slots = slots or self._default_slots()
        self._hello = messages.Hello(
            worker_id=self.worker_id,
            boot_id=uuid.uuid4().hex,
            task_types=self._registry.types,
            queues=queues,
            namespace=namespace,
            slots=self.slots,
            labels=labels or {},
            sdk=f"python/{__version__}",
        )
        self._processed = 0
        self._connected = False
        self._draining = False
        self._problem = "not started"
        self._session: Session | None = None
        self._lag = LoopLag(monotonic)
        self._attempts: Attempts | None = None

    @property
    def status(self) -> WorkerStatus:
        """How it is, now."""
        return WorkerStatus(
            connected=self._connected,
            problem=self._problem,
            draining=self._draining,
            slots=self.slots,
            busy=len(self._attempts) if self._attempts is not None else 0,
            processed=self._processed,
            loop_lag_seconds=self._lag.last,
            worst_loop_lag_seconds=self._lag.worst,
        )

    @property
    def task_types(self) -> list[str]:
        """The types of tasks it runs, sorted."""
        return self._registry.types

    def run_until_signalled(self) -> None:
        """Run until SIGTERM or Ctrl-C, then drain. For programs that do nothing else."""
        asyncio.run(self._run_until_signalled())

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then drain: finish within the grace, hand the rest back. Once per Worker.

        Rides out every absence of the orchestrator. After `stop` it takes at most the grace and 6 s.
        """
        attempts, outbox = Attempts(), Outbox()
        pool = ChildPool(self._processes, self._sync_modules)
        beats: list[Heartbeats] = []
        executor = Executor(
            self._registry,
            pool,
            attempts,
            outbox,
            self._observer,
            self._monotonic,
            lambda attempt: beats[0].handler_alive(attempt),
        )
        beats.append(Heartbeats(attempts, executor, outbox, self._monotonic))
        self._attempts = attempts
        background = [
            asyncio.create_task(self._keep_connected(executor, attempts, outbox, beats[0])),
            asyncio.create_task(beats[0].run()),
            asyncio.create_task(self._lag.run()),
        ]
        try:
            await self._until(stop, background)
            await self._drain(executor, attempts, outbox)
        finally:
            await _cancel(background)
            await pool.close()
            self._connected, self._problem = False, "stopped"

    async def _run_until_signalled(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.run(stop)

    @staticmethod
    async def _until(stop: asyncio.Event, background: Sequence[asyncio.Task[None]]) -> None:
        """Wait for `stop`; what runs in the background never ends by itself, so its end is an error."""
        waiter = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([waiter, *background], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            waiter.cancel()

    async def _keep_connected(
        self, executor: Executor, attempts: Attempts, outbox: Outbox, beats: Heartbeats
    ) -> None:
        """One session after the other; results and leases outlive them."""
        backoff = Backoff()
        async with self._channel() as channel:
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            while True:
                session = Session(
                    stub.Session(), executor, attempts, outbox, beats, self._observer, self._count
                )
                try:
                    await self._one_session(session, backoff)
                    self._problem = "the orchestrator ended the session; connecting again"
                except (grpc.RpcError, SessionLostError) as error:
                    self._problem = _described(error)
                    log.warning("session_lost", extra={"problem": self._problem, "address": self._address})
                finally:
                    self._connected = False
                    self._session = None
                await asyncio.sleep(backoff.next())

    async def _one_session(self, session: Session, backoff: Backoff) -> None:
        await session.open(self._hello)
        backoff.reset()
        self._session = session
        self._connected, self._problem = True, ""
        log.info("session_opened", extra={"worker_id": self.worker_id, "address": self._address})
        await session.run(self.slots)

    async def _drain(self, executor: Executor, attempts: Attempts, outbox: Outbox) -> None:
        self._draining = True
        log.info("drain_started", extra={"busy": len(attempts), "grace_seconds": self._grace})
        outbox.drain()
        executor.drain()
        if not await attempts.none_left(self._grace):
            for attempt in attempts:
                executor.stop(attempt, StopReason.DRAINING, STOP_SECONDS)
            await attempts.none_left(STOP_SECONDS + 1.0)
        reported = await outbox.all_acknowledged(REPORT_SECONDS)
        log.info("drain_ended", extra={"unreported": len(outbox), "reported": reported})
        if self._session is not None:
            self._session.leave()

    def _channel(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, options=channel_options())
        return grpc.aio.secure_channel(self._address, self._credentials, options=channel_options())

    def _count(self) -> None:
        self._processed += 1

    def _default_slots(self) -> int:
        only_sync = not any(definition.is_async for definition in self._registry)
        return 2 * self._processes if only_sync else DEFAULT_SLOTS


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _described(error: BaseException) -> str:
    return str(error) if isinstance(error, SessionLostError) else failure_of(error).message


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_inside_a_child() -> None:
    if MAIN_ALIAS in sys.modules:
        with contextlib.suppress(AttributeError):
            path = sys.modules[MAIN_ALIAS].__file__
            raise RuntimeError(
                f"a child process imports {path}: start the worker under `if __name__ == '__main__':`"
            )
