"""Handle SIGINT, SIGTERM and SIGHUP: a command cleans up, and its exit code names the signal."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGHUP)


class StoppedError(Exception):
    """Raised when a signal has ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Cancel the current task at SIGTERM or SIGHUP, and raise StoppedError after it has cleaned up.

    A second signal ends the process at once. A signal that is ignored, as `nohup` does, stays ignored.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        loop.remove_signal_handler(number)
        assert task is not None
        task.cancel()

    in_main = threading.current_thread() is threading.main_thread()
    watched = [number for number in ENDING if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in watched:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    except BaseException:
        if received:
            raise StoppedError(received[0]) from None
        raise
    finally:
        for number in watched:
            loop.remove_signal_handler(number)


@contextmanager
def signals_at_once() -> Iterator[None]:
    """Let signals interrupt a read of standard input, which blocks the event loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in ENDING}
    handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING:
        if handlers[number] is not signal.SIG_IGN:
            signal.signal(number, _stop_at_once)
    try:
        if _is_cancelled():
            raise KeyboardInterrupt  # the event loop noted a signal just before
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _is_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return False
    return task is not None and task.cancelling() > 0


def _stop_at_once(number: int, _frame: object) -> None:
    raise StoppedError(number)
