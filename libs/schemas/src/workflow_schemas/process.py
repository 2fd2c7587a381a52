"""Makes large checks in a child process, whose processor time and memory the kernel limits."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from workflow_schemas.child import read, write
from workflow_schemas.compiled import Violation
from workflow_schemas.limits import CHECK_CPU_SECONDS, CHECK_WALL_SECONDS, CHILD_MEMORY_BYTES

TRIES: Final = 2
"""How often a check is made if its process dies for a reason that may lie outside of the check."""

_COMMAND: Final = (sys.executable, "-P", "-m", "workflow_schemas.child")
"""-P keeps modules of the working directory from taking the place of others."""


class CheckUnavailableError(Exception):
    """The check was not made, for a reason outside of the schema and the value. It may be repeated."""


class SchemaProcess:
    """One child process, started with the first check and again after it has died. Thread-safe.

    Checks run one after another. The child ends when the parent closes the pipe or dies. The kernel ends it
    when a check takes more than `cpu_seconds` of processor time, or `memory_bytes` of memory.
    """

    def __init__(self, cpu_seconds: int = CHECK_CPU_SECONDS, memory_bytes: int = CHILD_MEMORY_BYTES) -> None:
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, schema: str, value: str, root: str) -> list[Violation]:
        """Return the violations of a value, which is called `root`; empty if it fits. Both are JSON.

        Blocks the thread, usually for some milliseconds. A check that takes more time or memory gives one
        violation that says so. Raise ValueError if the schema is not valid, and CheckUnavailableError if the
        process cannot be started or gets no processor time; both change nothing.
        """
        check = {"schema": schema, "value": value, "root": root, "cpu_seconds": self._cpu_seconds}
        with self._lock:
            for _ in range(TRIES):
                try:
                    found = self._try(check)
                except OSError as error:
                    raise CheckUnavailableError(
                        f"cannot start a process for large checks: {error}"
                    ) from error
                if found is not None:
                    return found
        sentence = (
            "takes too much memory to check against the schema: send less, "
            "or publish a version with a simpler schema"
        )
        return [(root, sentence, "")]

    def close(self) -> None:
        """End the child process. A later check starts another one."""
        with self._lock:
            self._end()

    def _try(self, check: dict[str, Any]) -> list[Violation] | None:
        """The violations; None if the process died, which it does if it lacks memory."""
        child = self._running()
        answer: dict[str, Any] = {}
        with _ended_after(child, CHECK_WALL_SECONDS) as late:
            try:
                answer = self._exchange(child, check)
                if answer.get("fits") is False:
                    return [(where, what, rule) for where, what, rule in self._described(child)]
            except (EOFError, BrokenPipeError):
                status = self._end()
        if "error" in answer:
            raise ValueError(answer["error"])
        if answer:
            return [] if answer["fits"] else [(check["root"], _UNDESCRIBED, "")]
        if late.is_set():
            raise CheckUnavailableError("the check of a large payload got too little processor time")
        return [(check["root"], self._too_long, "")] if status == -signal.SIGXCPU else None

    @property
    def _too_long(self) -> str:
        return (
            f"takes over {self._cpu_seconds} s to check against the schema: send less, "
            "or publish a version with a simpler schema"
        )

    @staticmethod
    def _exchange(child: subprocess.Popen[bytes], check: dict[str, Any]) -> Any:
        assert child.stdin is not None
        assert child.stdout is not None
        write(child.stdin, check)
        return read(child.stdout)

    @staticmethod
    def _described(child: subprocess.Popen[bytes]) -> Any:
        assert child.stdout is not None
        return read(child.stdout)["violations"]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self._end()
        if self._child is None:
            self._child = subprocess.Popen(
                (*_COMMAND, str(self._memory_bytes)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._child

    def _end(self) -> int:
        """Wait for the child, which has died or is killed now; return its status."""
        child, self._child = self._child, None
        if child is None:
            return 0
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # the rest of a check that the child will never read
                stream.close()
        try:
            return child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


_UNDESCRIBED: Final = (
    "breaks the schema, but it takes too long to say where: check it with any JSON Schema validator, "
    "or publish a version with a simpler schema"
)


@contextlib.contextmanager
def _ended_after(child: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the child if the block takes longer; the event says so."""
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
