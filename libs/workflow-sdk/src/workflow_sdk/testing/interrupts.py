"""Stops a sync handler as a worker does: a signal raises TaskCancelled in the main thread."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from workflow_sdk.failures import TaskCancelled
from workflow_sdk.worker.attempts import StopReason


def require_main_thread() -> None:
    """Raise RuntimeError in every other thread: signals interrupt only the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "a sync handler can be stopped after some seconds only in the main thread: call run_handler"
            " there, or use cancel_at_heartbeat"
        )


@contextlib.contextmanager
def interrupt_main_thread(
    stops: Sequence[tuple[float, StopReason]], stop: Callable[[StopReason], bool]
) -> Iterator[None]:
    """Call `stop` after each number of seconds. If it returns True, raise TaskCancelled in the block.

    Without stops, do nothing. Stops need the main thread: see `require_main_thread`.
    """
    if not stops:
        yield
        return
    running = True

    def on_signal(_: int, __: FrameType | None) -> None:
        if running:
            raise TaskCancelled

    def interrupt(reason: StopReason) -> None:
        if stop(reason):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, on_signal)
    timers = [threading.Timer(seconds, interrupt, [reason]) for seconds, reason in stops]
    try:
        for timer in timers:
            timer.start()
        yield
    finally:
        running = False
        for timer in timers:
            timer.cancel()
            timer.join()
        signal.signal(signal.SIGTERM, before)
