"""Stops a handler in a child process: the worker announces the run on a pipe, then it sends SIGTERM.

A service manager sends SIGTERM to every process of the service, also to child processes, which should go on
while the worker drains. So a child process ignores a SIGTERM that was not announced. The worker writes to the
pipe before it sends the signal, so the announcement is there when the signal arrives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
from types import FrameType

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import TaskCancelled
from workflow_sdk.worker.child_channel import Channel

ANNOUNCEMENT = struct.Struct(">Q")
"""The number of the run to stop."""


class Stops:
    """The child's side: raises TaskCancelled in a handler that the worker stops. For the main thread only."""

    def __init__(self, pipe: int, channel: Channel) -> None:
        self._pipe = pipe
        self._channel = channel
        self._announced = 0
        self._run = 0
        self._context: TaskContext | None = None
        os.set_inheritable(pipe, False)
        os.set_blocking(pipe, False)
        self._before_fork = threading.local()
        os.register_at_fork(
            before=self._hold_signals, after_in_parent=self._let_signals, after_in_child=self._forked
        )
        signal.signal(signal.SIGTERM, self._on_signal)
        # Not SIG_IGN: a program that a handler starts would inherit that, but not a function.
        signal.signal(signal.SIGINT, lambda _, __: None)

    def begin(self, run: int, context: TaskContext) -> None:
        """Let the worker stop this run from now on. Raise TaskCancelled if the stop was announced before."""
        self._run, self._context = run, context
        self.interrupt_if_asked()

    def end(self) -> None:
        """Note that the handler has ended: do not interrupt the code that follows."""
        self._context = None

    def interrupt_if_asked(self) -> None:
        """Raise TaskCancelled if the worker has announced the stop of the running handler."""
        context = self._context
        if context is None or self._channel.main_thread_writes:
            return
        self._read()
        if self._announced == self._run:
            context.cancelled = True
            self._context = None  # once: do not interrupt the handler while it cleans up
            raise TaskCancelled

    def interrupt_after_writing(self) -> None:
        """Make up for a signal that arrived while the main thread wrote to the worker. For any thread."""
        if threading.current_thread() is threading.main_thread():
            self.interrupt_if_asked()

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self.interrupt_if_asked()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._pipe, ANNOUNCEMENT.size):
                (self._announced,) = ANNOUNCEMENT.unpack(data)

    def _hold_signals(self) -> None:
        """Block signals before a fork: Python drops a signal that arrives before the hooks below have run."""
        self._before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    def _let_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before_fork.mask)

    def _forked(self) -> None:
        """In a process that a handler forked: give signals their usual meaning."""
        self._context = None
        with contextlib.suppress(OSError):
            os.close(self._pipe)
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._let_signals()
