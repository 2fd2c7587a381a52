"""The child's end of the connection to its worker.

Handlers share the process with it: their threads send heartbeats at any time, they fork, and signals
interrupt them. So the channel writes whole frames, one after the other, and only for the running handler: it
drops a heartbeat for a run that has ended. A forked process can't write at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from workflow_sdk.worker.frames import HEAD, Frame, Kind, pack, read_head, read_header

_PIECE_BYTES = 1024 * 1024
_NO_RUN = -1
_ALL_SIGNALS = signal.valid_signals()


class Channel:
    """Frames to and from the worker. Any thread may call `heartbeat`, the main thread calls the rest."""

    def __init__(self, connection: socket.socket, worker_pid: int) -> None:
        self._connection = connection
        self._worker_pid = worker_pid
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._run = 0
        self._torn = False
        self.main_thread_writes = False
        """True while a signal handler must not raise: the worker would get half of a frame."""
        connection.set_inheritable(False)
        os.register_at_fork(after_in_child=self._forked)

    @property
    def foreign(self) -> bool:
        """True in a fork of the child, which must not write to the worker."""
        return os.getpid() != self._owner

    def receive(self) -> Frame:
        """Wait for the next frame. Raise EOFError at the end, UnreadableFrameError for anything else."""
        head = read_head(self._exactly(HEAD.size), self._worker_pid)
        header = read_header(self._exactly(head.header_bytes))
        return Frame(head.kind, head.run, header, self._exactly(head.payload_bytes))

    def begin(self, run: int) -> None:
        """Let the handler of a run send heartbeats."""
        with self._writing():
            self._run = run

    def heartbeat(self, run: int, progress: bytes) -> None:
        """Send a heartbeat. Do nothing if the run has ended, or if this process is a fork."""
        if self.foreign:
            return
        with self._writing(), contextlib.suppress(OSError):  # the main loop notices that the worker is gone
            if run == self._run:
                self._send(Kind.HEARTBEAT, run, None, progress)

    def answer(
        self, kind: Kind, run: int, header: dict[str, Any] | None = None, payload: bytes = b""
    ) -> None:
        """Send the result of a run, and drop its later heartbeats. Raise OSError if the worker is gone."""
        with self._writing():
            self._run = _NO_RUN
            self._send(kind, run, header, payload)

    def _send(self, kind: Kind, run: int, header: dict[str, Any] | None, payload: bytes) -> None:
        if self._torn:
            raise OSError(
                "an exception interrupted a message to the worker: the connection can't be used any more"
            )
        data = pack(kind, self._owner, run, header, payload)
        if self.foreign:
            raise OSError("a forked process can't report to the worker")
        self._torn = True
        self._connection.sendall(data)
        self._torn = False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the connection, and block signals: their handlers raise exceptions in the main thread."""
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            if in_main:
                self.main_thread_writes = True
            with self._lock:
                yield
        finally:
            if in_main:
                self.main_thread_writes = False
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._connection.recv(min(size - len(data), _PIECE_BYTES))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _forked(self) -> None:
        """In a process that a handler forked: leave the connection to the child."""
        self._lock = threading.Lock()  # another thread may have held it
        with contextlib.suppress(OSError):
            self._connection.close()
