"""Watching an execution over broken connections: every event once, in order."""

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

# What a broken connection or a stopping replica looks like; the watch goes on elsewhere.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class _Position:
    """How far a watch has come."""

    def __init__(self, resume_token: str) -> None:
        self.resume_token = resume_token
        self.sequence = 0
        self.final = False

    def take(self, message: Any) -> WatchUpdate | None:
        """What is new in the message; None for a bookmark, and for what was seen before the break."""
        self.resume_token = message.resume_token or self.resume_token
        match message.WhichOneof("message"):
            case "event" if message.event.sequence > self.sequence:
                self.sequence, self.final = message.event.sequence, message.event.final
                return WatchUpdate(None, Event.from_message(message.event), self.resume_token)
            case "snapshot" if message.snapshot.last_sequence >= self.sequence:
                self.sequence, self.final = message.snapshot.last_sequence, message.snapshot.final
                return WatchUpdate(Execution.from_message(message.snapshot), None, self.resume_token)
        return None


async def watch(
    stub: Any, caller: Caller, namespace: str, execution_id: str, resume_token: str, patience: float
) -> AsyncIterator[WatchUpdate]:
    """See `Client.watch`."""
    position = _Position(resume_token)
    backoff = Backoff()
    silent_since = caller.monotonic()
    while True:
        request = watch_service_pb2.WatchExecutionRequest(
            namespace=namespace, execution_id=execution_id, resume_token=position.resume_token
        )
        problem: WorkflowError = UnavailableError(
            "the stream ended before the execution did", code=grpc.StatusCode.UNAVAILABLE
        )
        call = stub.WatchExecution(request, metadata=caller.metadata)
        try:
            async for message in call:
                backoff.reset()
                silent_since = caller.monotonic()
                update = position.take(message)
                if update is not None:
                    yield update
            if position.final:
                return
            if cancelled_here():  # a cancelled stream may also end like one that has no more messages
                raise asyncio.CancelledError
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if cancelled_here():
                raise
            problem = failure_of(error)
            if problem.code not in _PASSING:
                raise problem from None
        finally:
            call.cancel()
        wait = backoff.next()
        if caller.monotonic() + wait - silent_since > patience:
            raise problem
        await caller.sleep(wait)
