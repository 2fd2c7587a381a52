"""What watchers are sent, made once and shared as bytes by all watchers of an execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from workflowsystem.gateway.v1.watch_service_pb2 import WatchExecutionResponse

from workflow_gateway.watch.tokens import ResumeToken, encode


@dataclass(frozen=True, slots=True)
class ExecutionKey:
    """Which execution is watched."""

    namespace: str
    execution_id: UUID


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An execution as it was; every event up to `last_sequence` is in it."""

    message: bytes
    last_sequence: int
    final: bool


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One event; `event_seconds` is when it was decided, in seconds of the Unix epoch."""

    message: bytes
    sequence: int
    final: bool
    event_seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """Events that follow one another without a gap; `more` where the orchestrator has further ones."""

    events: Sequence[EventMessage]
    more: bool


def snapshot_of(key: ExecutionKey, execution: Any) -> Snapshot:
    """The first message of a watch."""
    token = encode(ResumeToken(key.execution_id, execution.last_sequence))
    response = WatchExecutionResponse(snapshot=execution, resume_token=token)
    return Snapshot(response.SerializeToString(), execution.last_sequence, execution.final)


def event_message(key: ExecutionKey, event: Any) -> EventMessage:
    """The message of one `ExecutionEvent`."""
    token = encode(ResumeToken(key.execution_id, event.sequence))
    response = WatchExecutionResponse(event=event, resume_token=token)
    seconds = event.time.seconds + event.time.nanos / 1e9
    return EventMessage(response.SerializeToString(), event.sequence, event.final, seconds)


def bookmark(key: ExecutionKey, sequence: int, now: datetime, *, final: bool = False) -> bytes:
    """Return a sign of life with the watcher's position; `final` says that no event can follow."""
    response = WatchExecutionResponse(resume_token=encode(ResumeToken(key.execution_id, sequence)))
    response.bookmark.final = final
    response.bookmark.time.FromDatetime(now)
    return bytes(response.SerializeToString())
