"""The worker: what it can run, its lanes to the orchestrator, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from workflowsystem.worker.v1 import worker_service_pb2 as messages
from workflowsystem.worker.v1 import worker_service_pb2_grpc

from workflow_sdk import __version__
from workflow_sdk.addresses import require_address
from workflow_sdk.calls import channel_options
from workflow_sdk.task import TaskRegistry
from workflow_sdk.worker.child_main import MAIN_ALIAS
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.lane import Lane
from workflow_sdk.worker.loop_lag import LoopLag
from workflow_sdk.worker.observer import SilentObserver, WorkerObserver

DEFAULT_ADDRESS = "127.0.0.1:7012"
DEFAULT_SLOTS = 100
DEFAULT_GRACE_SECONDS = 20.0
TASKS_PER_CHILD = 2
"""One runs and one waits, so that a child process need not wait for the orchestrator between two tasks."""

log = logging.getLogger("workflow_sdk.worker")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker is."""

    connected: bool
    """Every session is open."""
    problem: str
    """Why one is not; empty while connected."""
    draining: bool
    slots: int
    """Tasks it takes at the same time."""
    busy: int
    """Tasks in its hands."""
    processed: int
    """Results that the orchestrator recorded."""
    loop_lag_seconds: float
    """The latest delay of the event loop."""
    worst_loop_lag_seconds: float
    """The longest delay of the last ten seconds."""


class Worker:
    """Runs the handlers of `tasks` (functions with `@task`) and `modules` for one orchestrator.

        worker = Worker("127.0.0.1:7012", modules=["orders.handlers"])
        worker.run_until_signalled()

    Async handlers run on the event loop, up to `slots` at a time; sync ones in up to `child_processes`
    (default: one per processor) clean Python processes, which import the same modules. `queues` empty is the
    default queue. Raises TaskDefinitionError where a handler or a module can't be used.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        tasks: Sequence[Callable[..., Any]] = (),
        modules: Sequence[str] = (),
        slots: int = DEFAULT_SLOTS,
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
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self._registry = TaskRegistry(tasks, modules)
        if not len(self._registry):
            raise ValueError("a worker needs at least one handler: give it `tasks` or `modules`")
        self._address = require_address(address)
        self._credentials = credentials
        self._grace = grace
        self._observer = observer or SilentObserver()
        self._monotonic = monotonic
        self._processes = child_processes or _processors()
        self._hello = messages.Hello(
            worker_id=self.worker_id,
            queues=queues,
            namespace=namespace,
            labels=labels or {},
            sdk=f"python/{__version__}",
        )
        self._slots = slots
        self._lanes: list[Lane] = []
        self._draining = False
        self._lag = LoopLag(monotonic)

    @property
    def status(self) -> WorkerStatus:
        """How it is, now."""
        problems = [lane.problem for lane in self._lanes if not lane.connected]
        return WorkerStatus(
            connected=bool(self._lanes) and not problems,
            problem="not running"
            if not self._lanes
            else "; ".join(sorted({p or "connecting" for p in problems})),
            draining=self._draining,
            slots=sum(lane.slots for lane in self._lanes),
            busy=sum(lane.busy for lane in self._lanes),
            processed=sum(lane.processed for lane in self._lanes),
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

        Rides out every absence of the orchestrator. After `stop` it takes at most the grace and 8 s.
        """
        sync_modules = sorted({d.module for d in self._registry if not d.is_async} - {"__main__"})
        pool = ChildPool(self._processes, sync_modules)
        self._lanes = list(self._make_lanes(pool))
        async with self._channel() as channel:
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            background = [asyncio.create_task(lane.run(stub)) for lane in self._lanes]
            background.append(asyncio.create_task(self._lag.run()))
            try:
                await _until(stop, background)
                await self._drain()
            finally:
                await _cancel(background)
                await pool.close()

    async def _run_until_signalled(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.run(stop)

    async def _drain(self) -> None:
        self._draining = True
        log.info("drain_started", extra={"busy": self.status.busy, "grace_seconds": self._grace})
        await asyncio.gather(*(lane.drain(self._grace) for lane in self._lanes))
        log.info("drain_ended", extra={"processed": self.status.processed})

    def _make_lanes(self, pool: ChildPool) -> Iterable[Lane]:
        """A lane for each kind of handlers there is; each is a worker of its own to the orchestrator."""
        for is_async, slots in ((True, self._slots), (False, TASKS_PER_CHILD * self._processes)):
            types = sorted(d.type for d in self._registry if d.is_async == is_async)
            if types:
                hello = messages.Hello(boot_id=uuid.uuid4().hex, task_types=types, slots=slots)
                hello.MergeFrom(self._hello)
                yield Lane(hello, self._registry, pool, self._observer, self._monotonic)

    def _channel(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, options=channel_options())
        return grpc.aio.secure_channel(self._address, self._credentials, options=channel_options())


async def _until(stop: asyncio.Event, background: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `stop`; what runs in the background never ends by itself, so its end is an error."""
    waiter = asyncio.create_task(_set(stop))
    try:
        done, _ = await asyncio.wait([waiter, *background], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        waiter.cancel()


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_inside_a_child() -> None:
    if MAIN_ALIAS in sys.modules:
        path = getattr(sys.modules[MAIN_ALIAS], "__file__", "the main module")
        raise RuntimeError(
            f"a child process imports {path}: start the worker under `if __name__ == '__main__':`"
        )
