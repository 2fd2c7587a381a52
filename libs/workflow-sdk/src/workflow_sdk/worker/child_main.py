"""The child process of a worker: it runs one sync handler at a time, which the worker names over a socket.

The worker starts it as a clean interpreter and does not fork, because a fork would break gRPC's threads. It
dies with its worker: on Linux by the parent-death signal, elsewhere when the socket closes. It has its own
process group, so Ctrl-C reaches only the worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import logging
import os
import runpy
import signal
import socket
import sys
from typing import Any, NamedTuple

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import FailureInfo, TaskCancelled
from workflow_sdk.payloads import from_json
from workflow_sdk.task import TaskDefinition, definition_of
from workflow_sdk.worker import child_logging
from workflow_sdk.worker.child_channel import Channel
from workflow_sdk.worker.child_stops import Stops
from workflow_sdk.worker.forks import end_forked_process
from workflow_sdk.worker.frames import Frame, Kind, UnreadableFrameError
from workflow_sdk.worker.outputs import encode_output

MAIN_ALIAS = "__workflow_main__"
_PR_SET_PDEATHSIG = 1


class Answer(NamedTuple):
    """The answer to the worker at the end of a run."""

    kind: Kind
    header: dict[str, Any] | None = None
    payload: bytes = b""


class Child:
    """The main loop of the process."""

    def __init__(self, channel: Channel, stops: Stops) -> None:
        self._channel = channel
        self._stops = stops
        self._ids = child_logging.TaskIds()
        self._definitions: dict[tuple[str, str], TaskDefinition] = {}
        self._main: dict[str, Any] | None = None
        self._setup: dict[str, Any] = {}

    def serve(self) -> None:
        """Run tasks until the worker closes the socket."""
        self._setup = self._channel.receive().header
        answer = self._set_up()
        self._channel.answer(answer.kind, 0, answer.header)
        while answer.kind is Kind.READY:
            frame = self._channel.receive()
            self._channel.answer(*self._run(frame))

    def _set_up(self) -> Answer:
        sys.path[:] = self._setup["sys_path"]
        self._ids.worker_id = self._setup["worker_id"]
        try:
            child_logging.configure(self._setup["logging"])
            if self._setup["function"]:
                child_logging.call_setup(self._setup["function"])
        except BaseException as error:
            return _failed(FailureInfo.of(error))
        for module in self._setup["modules"]:
            with contextlib.suppress(BaseException):  # the task that needs it fails with this error
                importlib.import_module(module)
        self._ids.watch()
        return Answer(Kind.READY)

    def _run(self, frame: Frame) -> tuple[Kind, int, dict[str, Any] | None, bytes]:
        on_heartbeat = functools.partial(self._heartbeat, frame.run)
        context = TaskContext(**frame.header["context"], on_heartbeat=on_heartbeat)
        self._ids.context = context
        answer, error = self._attempt(frame, context)
        if self._channel.foreign:
            end_forked_process(error)
        self._ids.context = None
        return answer.kind, frame.run, answer.header, answer.payload

    def _attempt(self, frame: Frame, context: TaskContext) -> tuple[Answer, BaseException | None]:
        """Run the handler. Anything that it raises, or that encoding its output raises, is its failure."""
        try:
            try:
                self._channel.begin(frame.run)
                self._stops.begin(frame.run, context)
                definition = self._definition(frame.header["module"], frame.header["name"])
                value = definition.call(from_json(frame.payload), context)
            finally:
                self._stops.end()
            output = encode_output(value, frame.header["maximum_payload_bytes"])
        except BaseException as error:  # also SystemExit: it ends the handler, not the process
            if context.cancelled and isinstance(error, TaskCancelled):
                return Answer(Kind.CANCELLED), error
            return _failed(FailureInfo.of(error)), error
        if isinstance(output, FailureInfo):
            return _failed(output), None
        return Answer(Kind.SUCCEEDED, None, output), None

    def _definition(self, module: str, name: str) -> TaskDefinition:
        known = self._definitions.get((module, name))
        if known is None:
            if module == "__main__":
                found: Any = self._main_namespace()[name.split(".")[0]]
                rest = name.split(".")[1:]
            else:
                found, rest = importlib.import_module(module), name.split(".")
            for part in rest:
                found = getattr(found, part)
            known = self._definitions[module, name] = definition_of(found)
            self._ids.watch()  # the import may have configured logging
        return known

    def _main_namespace(self) -> dict[str, Any]:
        """Run the worker's script under a name that is not __main__, and return its names."""
        if self._main is None:
            if self._setup["main_module"]:
                self._main = runpy.run_module(self._setup["main_module"], run_name=MAIN_ALIAS)
            else:
                self._main = runpy.run_path(self._setup["main_path"], run_name=MAIN_ALIAS)
        return self._main

    def _heartbeat(self, run: int, progress: bytes | None) -> None:
        self._channel.heartbeat(run, progress or b"")
        if not self._channel.foreign:
            self._stops.interrupt_after_writing()


def _failed(failure: FailureInfo) -> Answer:
    return Answer(Kind.FAILED, failure.to_dict())


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the worker died before the signal was requested
        os._exit(1)


def main(descriptor: int, stop_pipe: int, parent: int) -> None:
    """Serve on an inherited socket until its other end closes."""
    _die_with_parent(parent)
    channel = Channel(socket.socket(fileno=descriptor), parent)
    stops = Stops(stop_pipe, channel)
    code = 0
    try:
        Child(channel, stops).serve()
    except (EOFError, OSError):
        pass  # the worker is gone, or a handler closed the connection
    except UnreadableFrameError as error:
        print(f"a child process of the worker ends: {error}", file=sys.stderr)
        code = 1
    with contextlib.suppress(BaseException):  # a handler may have closed or replaced the streams
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # a handler's threads must not keep the process alive
