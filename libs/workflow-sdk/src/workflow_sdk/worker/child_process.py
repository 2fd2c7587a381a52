"""The worker's side of one child process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from workflow_sdk.failures import PROCESS_DIED, FailureInfo
from workflow_sdk.worker.frames import LENGTHS, pack

START_TIMEOUT_SECONDS = 60.0
END_TIMEOUT_SECONDS = 2.0
"""How long a process may live on after its socket closed."""
UNKNOWN_RETURN_CODE = 255
"""What asyncio says where somebody else collected the status of a process."""
_PROGRAM = "import sys; from workflow_sdk.worker.child_main import main; main(*map(int, sys.argv[1:]))"
_BUFFER_BYTES = 4 * 1024 * 1024


class ChildCancelledError(Exception):
    """The handler stopped because it was told to, or its process was killed for that."""


class ChildFailedError(Exception):
    """The handler failed, or its process died under it."""

    def __init__(self, failure: FailureInfo) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ChildProcess:
    """One clean Python process that runs one handler at a time. Used from one asyncio task at a time."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._busy = False
        self._told_to_stop = False
        self._kill_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, modules: Sequence[str]) -> ChildProcess:
        """Start a process that imports `modules`, and wait until it is ready. Raises ChildFailedError."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER_BYTES)
        child = cls(process, reader, writer)
        writer.write(pack({"kind": "setup", "modules": list(modules), **_interpreter()}))
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await child._next_message()
        except TimeoutError:
            await child.kill()
            message = f"the child process was not ready within {START_TIMEOUT_SECONDS:g} s: see its output"
            raise ChildFailedError(FailureInfo(PROCESS_DIED, message)) from None
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def reusable(self) -> bool:
        """Whether another handler may be run in it."""
        ended = self._process.returncode is not None or self._reader.at_eof()
        return not (ended or self._told_to_stop or self._busy)

    async def run(
        self, header: dict[str, Any], payload: bytes, on_heartbeat: Callable[[bytes | None], None]
    ) -> bytes:
        """Run a handler; the value is its output as JSON. Raises ChildFailedError, ChildCancelledError."""
        self._busy = True
        self._writer.write(pack(header, payload))
        while True:
            answer, content = await self._next_message()
            if answer["kind"] == "heartbeat":
                on_heartbeat(content or None)
                continue
            self._busy = False
            self._cancel_timer()
            match answer["kind"]:
                case "succeeded":
                    return content
                case "cancelled" if self._told_to_stop:
                    self._told_to_stop = False  # it let the exception pass, and is as good as before
                    raise ChildCancelledError
                case "cancelled":
                    raise ChildFailedError(
                        FailureInfo(PROCESS_DIED, "the child process got SIGTERM from outside")
                    )
            raise ChildFailedError(FailureInfo(**answer["failure"]))

    def stop(self, grace: float) -> None:
        """Tell the running handler to stop: SIGTERM now, SIGKILL after `grace` seconds. `run` then ends."""
        if not self._busy or self._process.returncode is not None:
            return
        self._told_to_stop = True
        self._send_signal(signal.SIGTERM)
        self._cancel_timer()
        self._kill_timer = asyncio.get_running_loop().call_later(max(0.0, grace), self._kill_now)

    async def close(self) -> None:
        """Let an idle process end."""
        self._writer.close()
        try:
            await self._wait_until_ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once."""
        self._cancel_timer()
        self._kill_now()
        self._writer.close()
        await self._process.wait()

    def _kill_now(self) -> None:
        self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        # asyncio's own send_signal polls the process first. For one that has just died, that takes the status
        # away from asyncio's watcher, which then tells of exit code 255 instead.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _cancel_timer(self) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()

    async def _next_message(self) -> tuple[dict[str, Any], bytes]:
        try:
            lengths = await self._reader.readexactly(LENGTHS.size)
            header_length, payload_length = LENGTHS.unpack(lengths)
            header = json.loads(await self._reader.readexactly(header_length))
            return header, await self._reader.readexactly(payload_length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._death() from None

    async def _death(self) -> Exception:
        """What to say of a process that closed its socket while a handler ran in it: mostly, by ending."""
        if self._told_to_stop:
            await self.kill()
            return ChildCancelledError()
        try:
            await self._wait_until_ended()
            how = _how_it_ended(self._process.returncode)
        except TimeoutError:
            how = "lost its connection to the worker: a handler must not close files that it did not open"
        await self.kill()
        return ChildFailedError(FailureInfo(PROCESS_DIED, f"the child process that ran the handler {how}"))

    async def _wait_until_ended(self) -> None:
        """Raises TimeoutError. A socket closes before its process has ended; a kill would hide the cause."""
        async with asyncio.timeout(END_TIMEOUT_SECONDS):
            await self._process.wait()


def _how_it_ended(return_code: int | None) -> str:
    if return_code == UNKNOWN_RETURN_CODE:
        return (
            "ended with exit code 255, or one that other code in the worker took by waiting for any process"
        )
    if return_code is None or return_code >= 0:
        return f"ended with exit code {return_code}"
    name = signal.Signals(-return_code).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def _interpreter() -> dict[str, Any]:
    """What a child needs to import what this process can, the script that was started included."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    return {
        "sys_path": [os.path.abspath(entry) for entry in sys.path],  # noqa: PTH100 - entries may be zip files
        "main_module": spec.name if spec else None,
        "main_path": os.path.abspath(path) if path else None,  # noqa: PTH100
    }
