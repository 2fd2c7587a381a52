"""Watches an execution, also over broken connections: every event once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from workflowsystem.gateway.v1 import watch_service_pb2

from workflow_sdk.backoff import Backoff
from workflow_sdk.calls import Caller, cancelled_here, failure_of
from workflow_sdk.errors import UnavailableError, WorkflowError
from workflow_sdk.models import Event, Execution, WatchUpdate

SILENCE_SECONDS = 40.0
"""A stream without a message for this time is treated as broken: the gateway sends one every 15 s."""

_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
"""The codes with which a broken connection or a stopping replica ends a stream. The watch connects again."""


class _Position:
    """The last event that a watch has seen."""

    def __init__(self, resume_token: str) -> None:
        self.resume_token = resume_token
        self.sequence = 0
        self.final = False

    def update_from(self, message: Any) -> WatchUpdate | None:
        """Return the update in a message; None for a bookmark, and for an event that was seen before."""
        self.resume_token = message.resume_token or self.resume_token
        match message.WhichOneof("message"):
            case "event" if message.event.sequence > self.sequence:
                self.sequence, self.final = message.event.sequence, message.event.final
                return WatchUpdate(None, Event.from_message(message.event), self.resume_token)
            case "snapshot" if message.snapshot.last_sequence >= self.sequence:
                self.sequence, self.final = message.snapshot.last_sequence, message.snapshot.final
                return WatchUpdate(Execution.from_message(message.snapshot), None, self.resume_token)
            case "bookmark" if message.bookmark.final:
                self.final = True
        return None


class _Patience:
    """How long a watch tries to connect again: `seconds` from the last message."""

    def __init__(self, caller: Caller, seconds: float) -> None:
        self._caller = caller
        self._seconds = seconds
        self._backoff = Backoff()
        self._answered = caller.monotonic()
        self._answered_ever = False
        self._answered_on_this_stream = False

    def answered(self) -> None:
        """Note that a message arrived."""
        self._backoff.reset()
        self._answered = self._caller.monotonic()
        self._answered_ever = self._answered_on_this_stream = True

    async def before_the_next_try(self, problem: WorkflowError, *, fell_silent: bool) -> None:
        """Wait a moment. Raise `problem` if a retry can't help, or if the time is over.

        A full gateway may have room later, so a watch that has begun also waits for that. If it has not
        begun, its caller decides.
        """
        full = problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self._answered_ever
        if problem.code not in _PASSING and not full:
            raise problem
        if fell_silent and self._answered_on_this_stream:
            self._answered = self._caller.monotonic()  # the silence could not be noticed earlier
        self._answered_on_this_stream = False
        wait = self._backoff.next()
        if self._caller.monotonic() + wait - self._answered > self._seconds:
            raise problem
        await self._caller.sleep(wait)


async def watch(
    stub: Any,
    caller: Caller,
    namespace: str,
    execution_id: str,
    resume_token: str,
    patience: float,
    *,
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncIterator[WatchUpdate]:
    """Yield the updates of an execution, as `Client.watch` describes."""
    position = _Position(resume_token)
    remaining = _Patience(caller, patience)
    while True:
        request = watch_service_pb2.WatchExecutionRequest(
            namespace=namespace, execution_id=execution_id, resume_token=position.resume_token
        )
        problem: WorkflowError = _ended_early()
        fell_silent = False
        call = stub.WatchExecution(request, metadata=caller.metadata)
        messages = aiter(call)
        try:
            while (message := await _next(messages, silence_seconds)) is not None:
                update = position.update_from(message)
                if update is not None:
                    yield update
                remaining.answered()  # after the yield: the caller's own work is not silence
        except TimeoutError:
            problem, fell_silent = _fell_silent(silence_seconds), True
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if cancelled_here():
                raise
            problem = failure_of(error)
        finally:
            call.cancel()
        if position.final:
            return
        if cancelled_here():  # a cancelled stream may also look like one without more messages
            raise asyncio.CancelledError
        await remaining.before_the_next_try(problem, fell_silent=fell_silent)


async def _next(messages: AsyncIterator[Any], silence_seconds: float) -> Any:
    """Return the next message, None at the end. Raise TimeoutError after `silence_seconds`."""
    async with asyncio.timeout(silence_seconds):
        return await anext(messages, None)


def _ended_early() -> UnavailableError:
    return UnavailableError("the stream ended before the execution did", code=grpc.StatusCode.UNAVAILABLE)


def _fell_silent(seconds: float) -> UnavailableError:
    message = f"the gateway sent nothing for {seconds:g} s: watch again with the last resume token"
    return UnavailableError(message, code=grpc.StatusCode.UNAVAILABLE)
