"""The worker: its handlers, its lanes to the orchestrator, and how it stops."""

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import grpc
from workflowsystem.worker.v1 import worker_service_pb2 as messages
from workflowsystem.worker.v1 import worker_service_pb2_grpc

from workflow_sdk.addresses import require_address
from workflow_sdk.calls import MAX_MESSAGE_BYTES, channel_options
from workflow_sdk.task import TaskRegistry
from workflow_sdk.version import __version__
from workflow_sdk.worker.background import keep_running
from workflow_sdk.worker.child_main import MAIN_ALIAS
from workflow_sdk.worker.child_pool import ChildPool
from workflow_sdk.worker.child_process import ChildSetup
from workflow_sdk.worker.default_logging import log_by_default
from workflow_sdk.worker.lane import Lane
from workflow_sdk.worker.log_observer import LogObserver
from workflow_sdk.worker.loop_lag import LoopLag
from workflow_sdk.worker.observer import WorkerObserver
from workflow_sdk.worker.processors import available_processors

DEFAULT_ADDRESS = "127.0.0.1:7012"
DEFAULT_SLOTS = 100
DEFAULT_GRACE_SECONDS = 20.0
FORCED_EXIT_CODE = 128
"""A second signal ends the worker at once, with this exit code plus the number of the signal."""

log = logging.getLogger("workflow_sdk.worker")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The state of a worker."""

    connected: bool
    """True if every session is open."""
    problem: str
    """Why a session is not open; empty while connected."""
    draining: bool
    slots: int
    """The number of tasks that it can run at the same time."""
    busy: int
    """The number of tasks that it holds."""
    processed: int
    """The number of results that the orchestrator recorded."""
    loop_lag_seconds: float
    """The latest delay of the event loop."""
    worst_loop_lag_seconds: float
    """The longest delay of the last ten seconds."""
    child_problem: str = ""
    """Why the latest child process could not be started; empty if there is no problem."""


class Worker:
    """Runs the handlers of `tasks` (functions with `@task`) and `modules` for one orchestrator.

        worker = Worker("127.0.0.1:7012", modules=["orders.handlers"])
        worker.run_until_signalled()

    Async handlers run on the event loop, up to `slots` at a time. Sync handlers run in `child_processes`
    clean Python processes (default: one for each processor that the worker may use), which import the same
    modules. The worker starts these processes before it asks for tasks, and takes one sync task for each of
    them. They log as this process does if it uses the standard library. `child_setup` names a function as
    `module:function`, which each child process calls first, for example to configure logging. Empty `queues`
    mean the default queue. Raises TaskDefinitionError if a handler or a module can't be used.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        tasks: Sequence[Callable[..., Any]] = (),
        modules: Sequence[str] = (),
        slots: int = DEFAULT_SLOTS,
        child_processes: int | None = None,
        child_setup: str = "",
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
        self._observer = observer or LogObserver()
        self._monotonic = monotonic
        self._processes = child_processes or available_processors()
        modules_of_sync = sorted({d.module for d in self._registry if not d.is_async} - {"__main__"})
        self._child_setup = ChildSetup(tuple(modules_of_sync), _function_name(child_setup), self.worker_id)
        self._pool: ChildPool | None = None
        self._hello = messages.Hello(
            worker_id=self.worker_id,
            queues=queues,
            namespace=namespace,
            labels=labels or {},
            sdk=f"python/{__version__}",
            maximum_message_bytes=MAX_MESSAGE_BYTES,
        )
        self._slots = slots
        self._lanes: list[Lane] = []
        self._draining = False
        self._lag = LoopLag(monotonic)

    @property
    def status(self) -> WorkerStatus:
        """The worker's current state."""
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
            child_problem=self._pool.problem if self._pool else "",
        )

    @property
    def task_types(self) -> list[str]:
        """The task types that it runs, sorted."""
        return self._registry.types

    def run_until_signalled(self) -> None:
        """Run until SIGTERM or Ctrl-C, then drain. It is for the main thread of a program without other work.

        A second signal ends the process at once, with the exit code 128 + its number. Running tasks are lost,
        and run again after their leases have expired.
        """
        asyncio.run(self._run_until_signalled())

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then drain. Call it once for each Worker.

        Draining means: finish tasks within the grace, then hand the others back; it takes at most the grace
        and 8 s. While the orchestrator does not answer, the worker waits for it. If the program has not
        configured logging, the worker logs to standard error.
        """
        log_by_default()
        self._pool = pool = ChildPool(self._processes, self._child_setup)
        self._lanes = list(self._make_lanes(pool))
        async with self._channel() as channel:
            method = worker_service_pb2_grpc.WorkerServiceStub(channel).Session
            background = [
                asyncio.create_task(keep_running(partial(lane.run, method), "a lane")) for lane in self._lanes
            ]
            watch = keep_running(self._lag.run, "the watch of the event loop")
            background.append(asyncio.create_task(watch))
            try:
                await stop.wait()
                await self._drain()
            finally:
                await _cancel(background)
                await pool.close()

    async def _run_until_signalled(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        seen: set[int] = set()

        def on_signal(number: int, _: FrameType | None) -> None:
            # A callback of the event loop would not run while a handler blocks the loop.
            if number in seen or (seen and number == signal.SIGINT):
                self._end_at_once(number)
            seen.add(number)  # SIGTERM after SIGINT counts once: a supervisor forwards Ctrl-C as SIGTERM
            loop.call_soon_threadsafe(stop.set)

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            await self.run(stop)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_at_once(self, number: int) -> NoReturn:
        for pid in self._pool.pids if self._pool else []:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(BaseException):
            print("the worker ends at once: its tasks will run again", file=sys.stderr, flush=True)
        os._exit(FORCED_EXIT_CODE + number)

    async def _drain(self) -> None:
        self._draining = True
        busy = self.status.busy
        log.info(
            "the worker stops: %d tasks have %g s to finish; it hands the others back",
            *(busy, self._grace),
            extra={"event": "drain_started", "busy": busy, "grace_seconds": self._grace},
        )
        await asyncio.gather(*(lane.drain(self._grace) for lane in self._lanes))
        processed = self.status.processed
        log.info(
            "the worker has stopped; it ran %d tasks",
            processed,
            extra={"event": "drain_ended", "processed": processed},
        )

    def _make_lanes(self, pool: ChildPool) -> Iterable[Lane]:
        """Make a lane for each kind of handlers that there is: to the orchestrator each is a worker."""
        for is_async, slots in ((True, self._slots), (False, self._processes)):
            types = sorted(d.type for d in self._registry if d.is_async == is_async)
            if types:
                hello = messages.Hello(boot_id=uuid.uuid4().hex, task_types=types, slots=slots)
                hello.MergeFrom(self._hello)
                yield Lane(
                    *(hello, self._registry, pool, self._observer, self._monotonic),
                    address=self._address,
                    is_async=is_async,
                )

    def _channel(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, options=channel_options())
        return grpc.aio.secure_channel(self._address, self._credentials, options=channel_options())


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _function_name(name: str) -> str:
    """Return the name if it is `module:function` or empty. Raise ValueError for another form."""
    module, colon, function = name.partition(":")
    if name and not (module and colon and function.isidentifier()):
        raise ValueError(f"child_setup is {name!r}: name a function as `module:function`")
    return name


def _refuse_inside_a_child() -> None:
    if MAIN_ALIAS in sys.modules:
        path = getattr(sys.modules[MAIN_ALIAS], "__file__", "the main module")
        raise RuntimeError(
            f"a child process imports {path}: start the worker under `if __name__ == '__main__':`"
        )
