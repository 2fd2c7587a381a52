"""The child process of a worker: runs one sync handler at a time, told over a socket pair.

It is started as a clean interpreter, never forked from the worker, whose gRPC threads a fork would break.
It dies with its worker: on Linux by the parent-death signal, elsewhere at the end of the socket. It is in a
process group of its own, so that Ctrl-C and signals to the worker's group leave it to the worker.

SIGTERM while a handler runs raises TaskCancelled in it; the process survives if the handler lets it pass.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import runpy
import signal
import socket
import sys
from types import FrameType
from typing import Any

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import FailureInfo, TaskCancelled
from workflow_sdk.payloads import from_json
from workflow_sdk.task import TaskDefinition, definition_of
from workflow_sdk.worker.frames import NO_PROGRESS, pack, receive
from workflow_sdk.worker.outputs import encode_output

MAIN_ALIAS = "__workflow_main__"
_PR_SET_PDEATHSIG = 1


class Child:
    """The loop of the process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._running: TaskContext | None = None
        self._definitions: dict[tuple[str, str], TaskDefinition] = {}
        self._main: dict[str, Any] | None = None
        self._setup: dict[str, Any] = {}

    def serve(self) -> None:
        """Run tasks until the worker closes the socket."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._setup, _ = receive(self._connection)
        sys.path[:] = self._setup["sys_path"]
        for module in self._setup["modules"]:
            with contextlib.suppress(Exception):  # the task that needs it will say what is wrong
                importlib.import_module(module)
        self._connection.sendall(pack({"kind": "ready"}))
        while True:
            header, payload = receive(self._connection)
            self._connection.sendall(self._run(header, payload))

    def _run(self, header: dict[str, Any], payload: bytes) -> bytes:
        context = TaskContext(**header["context"], _tell=self._heartbeat)
        try:
            self._running = context
            try:
                definition = self._definition(header["module"], header["name"])
                value = definition.call(from_json(payload), context)
            finally:
                self._running = None
        except TaskCancelled:
            return pack({"kind": "cancelled"})
        except BaseException as error:  # SystemExit too: it ends the handler, not the process
            return _failed(FailureInfo.of(error))
        output = encode_output(value, header["maximum_payload_bytes"])
        return _failed(output) if isinstance(output, FailureInfo) else pack({"kind": "succeeded"}, output)

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
        return known

    def _main_namespace(self) -> dict[str, Any]:
        """The names of the script that the worker was started with, run under a name that is not __main__."""
        if self._main is None:
            if self._setup["main_module"]:
                self._main = runpy.run_module(self._setup["main_module"], run_name=MAIN_ALIAS)
            else:
                self._main = runpy.run_path(self._setup["main_path"], run_name=MAIN_ALIAS)
        return self._main

    def _heartbeat(self, progress: bytes | None) -> None:
        message = pack({"kind": "heartbeat"}, progress or NO_PROGRESS)
        # An exception in the middle of a message would leave the worker with half of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            self._connection.sendall(message)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _on_terminate(self, _: int, __: FrameType | None) -> None:
        if self._running is not None:
            self._running.cancelled = True
            self._running = None  # once: what the handler does to clean up is not interrupted
            raise TaskCancelled


def _failed(failure: FailureInfo) -> bytes:
    return pack({"kind": "failed", "failure": failure.to_dict()})


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the signal was asked for
        os._exit(1)


def main(descriptor: int, parent: int) -> None:
    """Serve on an inherited socket until its other end closes."""
    _die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        Child(connection).serve()
    # Threads of handlers must not keep a process that nobody needs any more.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
