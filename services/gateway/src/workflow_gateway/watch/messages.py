"""The messages to watchers. Each is serialised once, and all watchers of an execution share the bytes."""

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
    """The key of a watched execution."""

    namespace: str
    execution_id: UUID


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an execution after the event `last_sequence`."""

    message: bytes
    last_sequence: int
    final: bool


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One event; `event_seconds` is the time of its decision, in seconds since 1970."""

    message: bytes
    sequence: int
    final: bool
    event_seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive events; `more` is true if the orchestrator has further ones."""

    events: Sequence[EventMessage]
    more: bool


def snapshot_of(key: ExecutionKey, execution: Any) -> Snapshot:
    """Return the first message of a watch."""
    token = encode(ResumeToken(key.execution_id, execution.last_sequence))
    response = WatchExecutionResponse(snapshot=execution, resume_token=token)
    return Snapshot(response.SerializeToString(), execution.last_sequence, execution.final)


def event_message(key: ExecutionKey, event: Any) -> EventMessage:
    """Return the message of one `ExecutionEvent`."""
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
