"""Sync handlers for the tests; child processes import this module."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from workflow_sdk import NonRetryableError, TaskContext, task

SETUP_GATE = "TEST_SETUP_GATE"


@task("sync.double")
def double(number: int) -> int:
    return 2 * number


@task("sync.pid")
def pid(_: Any) -> int:
    return os.getpid()


@task("sync.describe")
def describe(_: Any, context: TaskContext) -> dict[str, Any]:
    return {"task": context.task_id, "item": context.item, "attempt": context.attempt}


@task("sync.fail")
def fail(message: str) -> None:
    raise NonRetryableError(message)


@task("sync.block")
def block(path: str) -> str:
    """Tells its process id, then blocks its process until a SIGTERM interrupts it."""
    write(path, str(os.getpid()))
    time.sleep(60)
    return "slept"


@task("sync.hang")
def hang(path: str) -> None:
    """Like a call into native code that never comes back: deaf to SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    write(path, str(os.getpid()))
    time.sleep(60)


@task("sync.progress")
def progress(path: str, context: TaskContext) -> str:
    """Tells of progress, and goes on when the file is gone."""
    context.heartbeat({"done": 1})
    while Path(path).exists():
        time.sleep(0.01)
    return "done"


@task("sync.crash")
def crash(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@task("sync.disconnect")
def disconnect(folder: str) -> None:
    """Closes the socket to its worker, and crashes when the worker has had time to see that."""
    os.closerange(3, 1024)
    write(f"{folder}/disconnected", str(os.getpid()))
    while not Path(folder, "crash").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGSEGV)


@task("sync.exit")
def leave(code: int) -> None:
    raise SystemExit(code)


@task("sync.count_signals")
def count_signals(path: str) -> str:
    """Waits until its process got a SIGTERM, and then goes on."""
    handle = signal.getsignal(signal.SIGTERM)
    assert callable(handle)
    count = 0

    def counted(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        handle(number, frame)

    signal.signal(signal.SIGTERM, counted)
    try:
        write(path, str(os.getpid()))
        while not count:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, handle)
    return f"interrupted {count} times"


def wait_for_gate() -> None:
    """What a child process does first, in a test: it waits until the test removes a file."""
    gate = os.environ[SETUP_GATE]
    write(gate + ".waiting", "yes")
    while Path(gate).exists():
        time.sleep(0.01)


@task("sync.log")
def log_lines(_: Any) -> None:
    """Logs from its own thread and from another one."""
    logging.getLogger("orders").info("info line")
    logging.getLogger("orders").warning("warning line", extra={"order": 7})
    thread = threading.Thread(target=logging.getLogger("orders").info, args=("line of a thread",))
    thread.start()
    thread.join()


def fail_to_set_up() -> None:
    """What a child process does first, in a test: it fails while there is a file."""
    if Path(os.environ[SETUP_GATE]).exists():
        raise MemoryError("no room for a child")


@task("sync.tidy")
def tidy(path: str) -> None:
    """Cleans up when it is stopped."""
    write(path, str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        write(path + ".tidied", "yes")


@task("sync.tidy_slowly")
def tidy_slowly(path: str) -> None:
    """Cleans up until the test removes a file."""
    write(path, str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        cleaning = Path(path).with_suffix(".cleaning")
        cleaning.touch()
        while cleaning.exists():
            time.sleep(0.01)
        write(str(Path(path).with_suffix(".tidied")), "yes")


def write(path: str, text: str) -> None:
    """All of it at once, so that no reader sees half."""
    Path(path + ".new").write_text(text)
    Path(path + ".new").rename(path)
