"""Run large checks in a child process. The kernel limits its processor time and its memory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from workflow_schemas.child import read, write
from workflow_schemas.compiled import Violation
from workflow_schemas.limits import CHECK_CPU_SECONDS, CHECK_WALL_SECONDS, CHILD_MEMORY_BYTES

TRIES: Final = 2
"""How often to run a check if its process dies for a reason that may have nothing to do with the check."""

_COMMAND: Final = (sys.executable, "-P", "-m", "workflow_schemas.child")
"""-P prevents the child from importing modules from the working directory."""


class CheckUnavailableError(Exception):
    """The check was not done, for a reason that is not the schema or the value. It may be repeated."""


class SchemaProcess:
    """A child process. The first check starts it, and the next check restarts it if it has died. Thread-safe.

    Checks run one after another. The child ends when the parent closes the pipe or dies. The kernel kills it
    when a check takes more than `cpu_seconds` of processor time. It can allocate at most `memory_bytes`. A
    check that takes `wall_seconds` is aborted. `command` is the program of the child.
    """

    def __init__(
        self,
        cpu_seconds: int = CHECK_CPU_SECONDS,
        memory_bytes: int = CHILD_MEMORY_BYTES,
        *,
        wall_seconds: float = CHECK_WALL_SECONDS,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._command = command
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, schema: str, value: str, root: str) -> list[Violation]:
        """Return the violations of a value, or an empty list if it fits. `root` is the value's name.

        `schema` and `value` are JSON. The call blocks the thread, usually for some milliseconds. If the check
        would exceed the limits of time or memory, return one violation that says so. Raise ValueError if the
        schema is not valid, and CheckUnavailableError if the process cannot start or gets no processor time.
        After either error the object can be used as before.
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
        """Return the violations, or None if the process died, which happens if it lacks memory."""
        child = self._running()
        answer: dict[str, Any] = {}
        with _ended_after(child, self._wall_seconds) as late:
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
                (*self._command, str(self._memory_bytes)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._child

    def _end(self) -> int:
        """Wait until the child has ended, kill it after 5 s, and return its exit status."""
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
    """Kill the child if the block takes longer than `seconds`. The yielded event is set in this case."""
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
