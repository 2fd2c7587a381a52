"""One session with the orchestrator: a bidirectional stream from Hello to its end.

A message that the worker can't read or does not know does not end the session: otherwise it would end every
session on which it arrives. An item that breaks this code does not affect the other items of its message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc
from workflow_contract.limits import MAX_PAYLOAD_BYTES
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.calls import cancelled_here
from workflow_sdk.worker.attempts import key_of
from workflow_sdk.worker.executor import Executor
from workflow_sdk.worker.heartbeats import Heartbeats
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.packing import agreed_bytes

WELCOME_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 2.0

log = logging.getLogger("workflow_sdk.worker")

Item = TypeVar("Item")


class SessionLostError(Exception):
    """The session can't continue; the text says why. Another session may be opened at once."""


class Session:
    """Writes what is in the outbox, and passes on what the orchestrator sends."""

    def __init__(
        self,
        call: Any,
        executor: Executor,
        outbox: Outbox,
        heartbeats: Heartbeats,
        on_acknowledged: Callable[[task_pb2.ResultAck], None],
    ) -> None:
        self._call = call
        self._executor = executor
        self._outbox = outbox
        self._heartbeats = heartbeats
        self._on_acknowledged = on_acknowledged
        self._welcome = messages.Welcome()
        self._ttl = 0.0
        self._logged_unknown = False
        self._next_session: asyncio.TimerHandle | None = None
        self._asked_to_leave = asyncio.Event()
        self._over = asyncio.Event()

    async def open(self, hello: messages.Hello) -> None:
        """Send Hello and wait for Welcome. Raises SessionLostError, grpc.RpcError."""
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_SECONDS):
                await self._call.write(messages.WorkerMessage(hello=hello))
                answer = await self._call.read()
        except TimeoutError:
            self._call.cancel()
            raise SessionLostError(f"no Welcome within {WELCOME_TIMEOUT_SECONDS:g} s") from None
        except asyncio.InvalidStateError:
            raise await self._ended() from None
        except asyncio.CancelledError:
            if cancelled_here():
                raise
            raise SessionLostError("the orchestrator cancelled the stream") from None
        if not isinstance(answer, messages.OrchestratorMessage) or not answer.HasField("welcome"):
            raise SessionLostError("the orchestrator did not answer Hello with Welcome")
        self._welcome = answer.welcome
        self._ttl = answer.welcome.lease_ttl.ToNanoseconds() / 1e9
        if self._ttl <= 0:
            raise SessionLostError(
                "the orchestrator's Welcome has no lease TTL: update the orchestrator, or check its address"
            )

    async def run(self) -> None:
        """Run until the stream ends, the orchestrator asks for a new session, or nobody answers heartbeats.

        Raises SessionLostError or grpc.RpcError, unless the session ended in an orderly way.
        """
        max_bytes = agreed_bytes(self._welcome)
        self._executor.begin_session(self._welcome.maximum_payload_bytes or MAX_PAYLOAD_BYTES)
        self._outbox.begin_session(max_bytes)
        self._heartbeats.begin_session(self._ttl, max_bytes)
        work = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write()),
            asyncio.create_task(self._listen_for_silence()),
            asyncio.create_task(self._leave_when_asked()),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    await self._check(task)
        finally:
            if self._next_session is not None:
                self._next_session.cancel()
            self._heartbeats.end_session()
            for task in work[1:]:
                task.cancel()
            try:
                await self._close(work[0])
            finally:
                self._over.set()
                work[0].cancel()
                await asyncio.gather(*work, return_exceptions=True)

    def leave(self) -> None:
        """End the session in an orderly way."""
        self._asked_to_leave.set()

    async def over(self) -> None:
        """Wait until the session has ended, at most CLOSE_TIMEOUT_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._over.wait()

    async def _check(self, task: asyncio.Task[None]) -> None:
        """Raise the error of one of the session's tasks, if there is one."""
        if task.cancelled():  # grpc.aio cancels whoever waits for a stream that the other side cancelled
            raise SessionLostError("the orchestrator cancelled the stream")
        error = task.exception()
        if isinstance(error, asyncio.InvalidStateError):
            raise await self._ended() from None
        if error is not None:
            raise error

    async def _ended(self) -> SessionLostError:
        """Return the error for a write to a stream that has ended: grpc.aio raises only InvalidStateError."""
        if not self._call.done():
            return SessionLostError("the stream is closed for writing")
        details = await self._call.details() or (await self._call.code()).name
        return SessionLostError(f"the stream ended while the worker wrote to it: {details}")

    async def _close(self, reader: asyncio.Task[None]) -> None:
        """Half-close the stream, and read the messages that are on their way."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._call.done_writing()
                await asyncio.wait([reader])
        except asyncio.CancelledError:  # the stream was cancelled, or the worker is
            if cancelled_here():
                raise
        except Exception as error:  # the session ends in any case
            log.debug("session_not_closed", extra={"problem": repr(error)})
        finally:
            self._call.cancel()

    async def _leave_when_asked(self) -> None:
        await self._asked_to_leave.wait()

    async def _write(self) -> None:
        while True:
            for message in await self._outbox.next_messages():
                await self._call.write(message)

    async def _read(self) -> None:
        while True:
            message = await self._call.read()
            if message is grpc.aio.EOF:
                return
            if message is None:  # gRPC could not parse it
                self._unreadable()
            else:
                self._handle(message)

    def _unreadable(self) -> None:
        """Continue after a message that can't be read. Open a new session after the TTL.

        The message may have had leases, and the worker can't know how many, so their credits are missing.
        After the TTL these leases have expired, and a new session begins with all credits.
        """
        log.error(
            "a message of the orchestrator could not be read. If it had tasks, they run again when their"
            " leases have expired. Run a worker and an orchestrator of the same release",
            extra={"event": "message_not_readable"},
        )
        if self._next_session is None:
            self._next_session = asyncio.get_running_loop().call_later(self._ttl, self.leave)

    async def _listen_for_silence(self) -> None:
        """Raise SessionLostError if nobody answers the heartbeats: the peer may have vanished silently."""
        seen = 0
        while seen < 2:  # twice: after a blocked loop the answer may have arrived, but nobody has read it
            await asyncio.sleep(self._ttl / 10)
            seen = seen + 1 if self._heartbeats.silence > self._ttl / 2 else 0
        raise SessionLostError(f"no heartbeat was answered for {self._heartbeats.silence:.1f} s")

    def _handle(self, message: messages.OrchestratorMessage) -> None:
        match message.WhichOneof("message"):
            case "leases":
                self._each(self._start, message.leases.leases)
            case "result_acks":
                self._each(self._on_acknowledged, message.result_acks.acks)
                self._each(self._start, message.result_acks.leases)
            case "heartbeat_acks":
                self._each(self._renewed, [message.heartbeat_acks])
            case "cancels":
                self._each(self._cancel, message.cancels.cancels)
            case "drain":
                self.leave()
            case "welcome":
                pass  # a repeated one has nothing new
            case _:
                self._unknown()

    def _each(self, act: Callable[[Item], None], items: Iterable[Item]) -> None:
        for item in items:
            try:
                act(item)
            except Exception:
                log.exception(
                    "a part of a message (%s) could not be handled; the others are",
                    type(item).__name__,
                    extra={"event": "item_failed", "item": type(item).__name__},
                )

    def _unknown(self) -> None:
        if not self._logged_unknown:
            self._logged_unknown = True
            log.warning(
                "the worker ignores a message that it does not know, perhaps from a newer orchestrator",
                extra={"event": "message_unknown"},
            )

    def _start(self, lease: task_pb2.Lease) -> None:
        self._executor.start(lease, self._ttl)

    def _renewed(self, acks: messages.HeartbeatAcks) -> None:
        self._heartbeats.acknowledged(acks.heartbeat_id, acks.stale)

    def _cancel(self, cancel: task_pb2.Cancel) -> None:
        if cancel.reason == task_pb2.CANCEL_REASON_CANCEL_REQUESTED:
            self._executor.cancel(key_of(cancel.task), cancel.grace.ToNanoseconds() / 1e9)
        elif cancel.reason == task_pb2.CANCEL_REASON_REVOKED:
            self._executor.revoke(key_of(cancel.task))
        else:  # a reason of a later release: if the claim ended, the answer to the next heartbeat says so
            self._unknown()
