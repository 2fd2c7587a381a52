"""The worker's side of one child process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from workflow_sdk.failures import PROCESS_DIED, FailureInfo
from workflow_sdk.worker.child_logging import logging_of_this_process
from workflow_sdk.worker.child_stops import ANNOUNCEMENT
from workflow_sdk.worker.frames import (
    HEAD,
    MAX_HEADER_BYTES,
    Frame,
    Kind,
    UnreadableFrameError,
    pack,
    read_head,
    read_header,
)

START_TIMEOUT_SECONDS = 60.0
END_TIMEOUT_SECONDS = 2.0
"""How long a process may live after its socket closed."""
KILL_TIMEOUT_SECONDS = 10.0
"""How long the worker waits for a process to end after SIGKILL: one that waits for a disk may not end."""
UNKNOWN_RETURN_CODE = 255
"""The return code in asyncio if other code collected the status of a process."""
HEARTBEATS_IN_A_ROW = 100
PAUSE_SECONDS = 0.02
"""How long the worker pauses after HEARTBEATS_IN_A_ROW heartbeats of a child, so that other work goes on."""
_PROGRAM = "import sys; from workflow_sdk.worker.child_main import main; main(*map(int, sys.argv[1:]))"
_BUFFER_BYTES = 1024 * 1024
_START = 0
log = logging.getLogger("workflow_sdk.worker")

FAILURE_FIELDS = {known.name for known in fields(FailureInfo)}


class ChildCancelledError(Exception):
    """The worker stopped the handler, or killed its process."""


class ChildFailedError(Exception):
    """The handler failed, or its process died while it ran, or the process could not start."""

    def __init__(self, failure: FailureInfo) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class ChildSetup:
    """The steps of every child process of a worker before its first task."""

    modules: tuple[str, ...] = ()
    """It imports these modules."""
    function: str = ""
    """It calls this function first: `module:function`, or empty."""
    worker_id: str = ""
    """The worker's id, for the lines that the process logs."""


@dataclass(slots=True, eq=False)
class _Run:
    number: int
    max_answer_bytes: int
    on_heartbeat: Callable[[bytes | None], None]
    answer: asyncio.Future[Frame] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    stopped: bool = False


class ChildProcess:
    """One clean Python process that runs one handler at a time. Used from one asyncio task at a time."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stop_pipe: int,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._stop_pipe = stop_pipe
        self._run: _Run | None = _Run(_START, MAX_HEADER_BYTES, lambda _: None)
        self._runs = 0
        self._heartbeats_in_a_row = 0
        self._kill_timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.end_seconds = END_TIMEOUT_SECONDS
        """How long the process may live on after its socket closed."""
        self.gone = asyncio.Event()
        """Set when the process has ended and can run no handler any more."""
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]

    @classmethod
    async def start(cls, setup: ChildSetup) -> ChildProcess:
        """Start a process and wait until it is ready. Raise ChildFailedError or OSError if it can't start."""
        child = await cls._connected()
        header = {**asdict(setup), **_interpreter()}
        try:
            child._write(Kind.SETUP, _START, header)
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await child._answer_of(child._run)
        except TimeoutError:
            await child.kill()
            message = f"the child process was not ready within {START_TIMEOUT_SECONDS:g} s: see its output"
            raise ChildFailedError(FailureInfo(PROCESS_DIED, message)) from None
        except BaseException:
            await child.kill()
            raise
        return child

    @classmethod
    async def _connected(cls) -> ChildProcess:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            socket_here, socket_there = socket.socketpair()
            theirs.callback(socket_there.close)
            ours.callback(socket_here.close)
            stops_there, stops_here = os.pipe()
            theirs.callback(os.close, stops_there)
            ours.callback(os.close, stops_here)
            os.set_blocking(stops_here, False)
            descriptors = [socket_there.fileno(), stops_there]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, *map(str, descriptors), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )
            reader, writer = await asyncio.open_unix_connection(sock=socket_here, limit=_BUFFER_BYTES)
            ours.pop_all()
        return cls(process, reader, writer, stops_here)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """True if it runs a handler or can run one."""
        return not self._ended and self._process.returncode is None

    @property
    def runs(self) -> int:
        """The number of handlers that it has begun to run."""
        return self._runs

    @property
    def reusable(self) -> bool:
        """True if another handler may run in it."""
        return self.usable and self._run is None

    async def run(
        self, header: dict[str, Any], payload: bytes, on_heartbeat: Callable[[bytes | None], None]
    ) -> bytes:
        """Run a handler and return its output as JSON. Raise ChildFailedError, ChildCancelledError.

        The child is reusable again as soon as the handler has answered.
        """
        self._runs += 1
        run = self._run = _Run(self._runs, header["maximum_payload_bytes"], on_heartbeat)
        if self._ended:
            raise ChildFailedError(
                FailureInfo(PROCESS_DIED, "the child process ended before the handler began")
            )
        self._write(Kind.RUN, run.number, header, payload)
        return await self._answer_of(run)

    def stop(self, grace: float) -> None:
        """Stop the running handler: SIGTERM now, SIGKILL after `grace` seconds. `run` then ends."""
        run = self._run
        if run is None or run.answer.done() or self._ended:
            return
        run.stopped = True
        with contextlib.suppress(OSError):
            os.write(self._stop_pipe, ANNOUNCEMENT.pack(run.number))
        self._send_signal(signal.SIGTERM)
        self._cancel_timer()
        self._kill_timer = asyncio.get_running_loop().call_later(max(0.0, grace), self._kill_now)

    async def close(self) -> None:
        """Let an idle process end; kill it if it does not."""
        self._writer.close()
        await self.gone.wait()

    async def kill(self) -> None:
        """End the process at once."""
        self._kill_now()
        await self.gone.wait()

    async def _answer_of(self, run: _Run | None) -> bytes:
        assert run is not None
        frame = await run.answer
        match frame.kind:
            case Kind.SUCCEEDED | Kind.READY:
                return frame.payload
            case Kind.CANCELLED:
                raise ChildCancelledError
        raise ChildFailedError(FailureInfo(**frame.header))

    def _write(self, kind: Kind, run: int, header: dict[str, Any], payload: bytes = b"") -> None:
        self._writer.write(pack(kind, os.getpid(), run, header, payload))

    async def _read(self) -> None:
        """Read frames until the connection ends, then end the process."""
        failure: FailureInfo | None = None
        try:
            while True:
                self._handle(await self._next_frame())
                if self._heartbeats_in_a_row >= HEARTBEATS_IN_A_ROW:
                    self._heartbeats_in_a_row = 0
                    await asyncio.sleep(PAUSE_SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError):
            failure = await self._why_it_ended()
        except UnreadableFrameError as error:
            failure = _unreadable(str(error))
        except Exception as error:  # its text may quote what arrived
            failure = _unreadable(f"the worker can't read it ({type(error).__name__})")
        finally:
            await self._end(failure)

    async def _next_frame(self) -> Frame:
        largest = 0 if self._run is None else self._run.max_answer_bytes
        head = read_head(await self._reader.readexactly(HEAD.size), self.pid, max(largest, MAX_HEADER_BYTES))
        header = read_header(await self._reader.readexactly(head.header_bytes))
        return Frame(head.kind, head.run, header, await self._reader.readexactly(head.payload_bytes))

    def _handle(self, frame: Frame) -> None:
        run = self._run
        if frame.kind is Kind.HEARTBEAT:
            self._heartbeats_in_a_row += 1
            if run is not None and frame.run == run.number:
                run.on_heartbeat(frame.payload or None)
            return
        self._heartbeats_in_a_row = 0
        if run is None or frame.run != run.number:
            raise UnreadableFrameError("a message answers no task that runs in it")
        _check_answer(frame, run)
        self._cancel_timer()
        self._run = None
        if not run.answer.done():
            run.answer.set_result(frame)

    async def _watch(self) -> None:
        """Make the connection end with the process: what the process started may hold its socket open."""
        await self._process.wait()
        with contextlib.suppress(OSError):  # bytes that have arrived can still be read
            self._writer.get_extra_info("socket").shutdown(socket.SHUT_RD)

    async def _why_it_ended(self) -> FailureInfo:
        """Describe a process that closed its connection: usually, it ends."""
        if self._run is not None and self._run.stopped:
            return FailureInfo(PROCESS_DIED, "the worker stopped the handler")
        try:
            async with asyncio.timeout(self.end_seconds):
                await self._process.wait()
            how = _how_it_ended(self._process.returncode)
        except TimeoutError:
            how = "lost its connection to the worker: a handler must not close files that it did not open"
        return FailureInfo(PROCESS_DIED, f"the child process that ran the handler {how}")

    async def _end(self, failure: FailureInfo | None) -> None:
        """End the process, then say what became of the handler in it."""
        self._ended = True
        try:
            self._kill_now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_TIMEOUT_SECONDS):
                    await self._process.wait()
            self._cancel_timer()
            self._writer.close()
            os.close(self._stop_pipe)
        except OSError as error:  # for example because other code of the worker has closed the pipe
            log.warning(
                "the connection to a child process could not be closed: %s",
                error,
                extra={"event": "child_process_not_closed", "problem": str(error)},
            )
        finally:
            self._report_end(failure)

    def _report_end(self, failure: FailureInfo | None) -> None:
        run = self._run
        if run is not None and not run.answer.done():
            if run.stopped or failure is None:
                run.answer.set_exception(ChildCancelledError())
            else:
                run.answer.set_exception(ChildFailedError(failure))
        self.gone.set()

    def _kill_now(self) -> None:
        self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        # asyncio's own send_signal polls the process first. If the process has just died, this takes the
        # status away from asyncio's watcher, which then reports exit code 255.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _cancel_timer(self) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()


def _check_answer(frame: Frame, run: _Run) -> None:
    """Raise UnreadableFrameError if the frame can't be the answer of this run."""
    match frame.kind:
        case Kind.READY:
            fits = run.number == _START
        case Kind.SUCCEEDED:
            fits = run.number != _START
        case Kind.FAILED:
            fits = frame.header.keys() == FAILURE_FIELDS
        case Kind.CANCELLED:
            fits = run.stopped
        case _:
            fits = False
    if not fits:
        raise UnreadableFrameError(f"a message of the kind {frame.kind.name} can't end the task")


def _unreadable(problem: str) -> FailureInfo:
    message = (
        f"the child process that ran the handler sent what the worker can't read: {problem}. A handler must"
        " not write to files and sockets that it did not open"
    )
    return FailureInfo(PROCESS_DIED, message)


def _how_it_ended(return_code: int | None) -> str:
    if return_code == UNKNOWN_RETURN_CODE:
        return "ended with exit code 255, or other code of the worker collected its exit code first"
    if return_code is None or return_code >= 0:
        return f"ended with exit code {return_code}"
    name = signal.Signals(-return_code).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def _interpreter() -> dict[str, Any]:
    """Return what a child needs to import and log as this process does, also for the started script."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    return {
        "sys_path": [os.path.abspath(entry) for entry in sys.path],  # noqa: PTH100 - entries may be zip files
        "main_module": spec.name if spec else None,
        "main_path": os.path.abspath(path) if path else None,  # noqa: PTH100
        "logging": logging_of_this_process(),
    }
