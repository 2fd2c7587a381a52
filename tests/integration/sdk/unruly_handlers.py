"""Sync handlers that fork, leave threads behind or write elsewhere; child processes import this module."""

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workflow_sdk import NonRetryableError, TaskContext, task
from workflow_sdk.worker.frames import HEAD, MAGIC, Kind

NAME = "who answered"


@task("unruly.name")
def name(input: Any) -> dict[str, Any]:
    return {NAME: input, "pid": os.getpid()}


@task("unruly.fork")
def fork(how: str) -> dict[str, Any]:
    """The forked process comes back from the handler; the handler waits for its end, and tells its status."""
    # ctypes: a fork by C code, of which Python knows nothing.
    pid = ctypes.CDLL(None).fork() if how == "in C" else os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(7)
        if how == "return":
            return {NAME: "the forked process"}
        raise RuntimeError("in the forked process")
    _, status = os.waitpid(pid, 0)
    return {NAME: "the handler", "status": os.waitstatus_to_exitcode(status)}


@task("unruly.fork_heartbeat")
def fork_heartbeat(_: Any, context: TaskContext) -> str:
    """The forked process sends heartbeats before it comes back."""
    pid = os.fork()
    if pid == 0:
        for _ in range(100):
            context.heartbeat({"from": "the forked process"})
        return "the forked process"
    os.waitpid(pid, 0)
    return "the handler"


@task("unruly.fork_term")
def fork_term(_: Any) -> int:
    """Ends a forked process with SIGTERM, as multiprocessing does."""
    pid = os.fork()
    if pid == 0:
        while True:
            time.sleep(1)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task("unruly.survivor")
def survivor(folder: str) -> None:
    """Leaves a forked process behind that holds whatever it got from this one, and dies."""
    pid = ctypes.CDLL(None).fork()
    if pid == 0:
        while Path(folder).exists():
            time.sleep(0.05)
        os._exit(0)
    write(f"{folder}/survivor", str(pid))
    os.kill(os.getpid(), signal.SIGKILL)


@task("unruly.background")
def background(folder: str) -> None:
    """Leaves a program behind that got every file that can be passed on, and dies."""
    program = "import sys, time, pathlib\nwhile pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)"
    subprocess.Popen([sys.executable, "-c", program, folder], close_fds=False)
    os.kill(os.getpid(), signal.SIGKILL)


@task("unruly.descriptors")
def descriptors(_: Any) -> str:
    """What a program that the handler starts gets from this process, beside the three standard streams."""
    listing = "import os; print(sorted(f for f in os.listdir('/proc/self/fd') if int(f) > 2))"
    shown = subprocess.run([sys.executable, "-c", listing], close_fds=False, capture_output=True, check=True)
    return shown.stdout.decode().strip()


@task("unruly.beats")
def beats(size: int, context: TaskContext) -> str:
    """Threads send heartbeats while the output is written, and after that."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.is_set():
            context.heartbeat({"pad": "p" * 3000})

    for _ in range(4):
        threading.Thread(target=beat, daemon=True).start()
    threading.Timer(0.3, stop.set).start()
    time.sleep(0.1)
    return "o" * size


@task("unruly.leftover")
def leftover(folder: str, context: TaskContext) -> str:
    """A thread sends heartbeats after the end of its handler, until a file is there."""

    def beat() -> None:
        while not Path(folder, "enough").exists():
            context.heartbeat({"of": "the task before"})

    threading.Thread(target=beat, daemon=True).start()
    return "leftover"


@task("unruly.next")
def following(folder: str, context: TaskContext) -> str:
    """Sends heartbeats beside the thread of the task before it, until a file is there."""
    while not Path(folder, "enough").exists():
        context.heartbeat({"of": "this task"})
        time.sleep(0.01)
    return "following"


@task("unruly.write")
def write_to_the_channel(what: str) -> str:
    """Writes bytes to every socket of the process."""
    data = {
        "garbage": b"\xffsecret" * 100,
        "another process": HEAD.pack(MAGIC, Kind.SUCCEEDED, 1, 1, 0, 2) + b"42",
        "another run": HEAD.pack(MAGIC, Kind.SUCCEEDED, os.getpid(), 99, 0, 2) + b"42",
        "huge": HEAD.pack(MAGIC, Kind.SUCCEEDED, os.getpid(), 1, 0, 2**32 - 1) + b"secret",
        "no JSON": HEAD.pack(MAGIC, Kind.FAILED, os.getpid(), 1, 10, 0) + b"\xff" * 10,
        "another header": HEAD.pack(MAGIC, Kind.FAILED, os.getpid(), 1, 14, 0) + b'{"secret": 42}',
        "unknown kind": HEAD.pack(MAGIC, 99, os.getpid(), 1, 0, 0),
        "wrong kind": HEAD.pack(MAGIC, Kind.RUN, os.getpid(), 1, 0, 0),
    }[what]
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, data)
    time.sleep(60)
    return "slept"


@task("unruly.alarm")
def alarm(_: Any, context: TaskContext) -> str:
    """Its own timer raises in it again and again while it sends heartbeats."""

    def on_alarm(*_: Any) -> None:
        raise TimeoutError("the alarm")

    before = signal.signal(signal.SIGALRM, on_alarm)
    raised = 0
    try:
        while raised < 50:
            with contextlib.suppress(TimeoutError):
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                raised += 1
                for _ in range(100):  # not without end: Python swallows what is raised in a finalizer
                    context.heartbeat({"pad": "p" * 4000})
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return "survived"


class QuietError(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class DeclinedError(NonRetryableError):
    def __init__(self, code: int) -> None:  # without super().__init__()
        self.code = code


class EvilError(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise SystemExit("args")

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __str__(self) -> str:
        raise SystemExit("str")

    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __reduce__(self) -> Any:
        raise SystemExit("reduce")


class EvilDict(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit("items")


ERRORS: dict[str, Any] = {
    "QuietError": QuietError,
    "DeclinedError": lambda: DeclinedError(402),
    "EvilError": EvilError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [EvilError(), SystemExit()]),
}


@task("unruly.raise")
def raise_it(which: str) -> None:
    raise ERRORS[which]()


@task("unruly.output")
def evil_output(_: Any) -> Any:
    return EvilDict(a=1)


def write(path: str, text: str) -> None:
    """All of it at once, so that no reader sees half."""
    Path(path + ".new").write_text(text)
    Path(path + ".new").rename(path)
