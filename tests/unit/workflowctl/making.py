"""Executions and events for tests of presentation."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from rich.console import Console
from workflow_sdk.models import Event, Execution, WatchUpdate
from workflowsystem.execution.v1 import event_pb2, execution_pb2

EXECUTION_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def console(*, terminal: bool = False, encoding_utf8: bool = True, width: int = 120) -> Console:
    """A console that records."""
    return Console(
        width=width,
        record=True,
        force_terminal=terminal,
        legacy_windows=False,
        highlight=False,
        file=_Sink("utf-8" if encoding_utf8 else "ascii"),
    )


class _Sink:
    """A file that says its encoding and keeps nothing."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def write(self, text: str) -> int:
        return len(text.encode(self.encoding))  # fails for what the encoding can't say

    def flush(self) -> None:
        pass


def event(sequence: int, type: str, **fields: Any) -> Event:
    """An event at noon plus as many seconds as its sequence."""
    data = {
        "execution_id": EXECUTION_ID,
        "sequence": sequence,
        "time": f"2030-01-01T12:00:{sequence:02}Z",
        "type": f"EXECUTION_EVENT_TYPE_{type}",
        "status": "EXECUTION_STATUS_RUNNING",
        **fields,
    }
    return Event.from_message(json_format.ParseDict(data, event_pb2.ExecutionEvent()))


def execution(**fields: Any) -> Execution:
    """An execution that was created at noon."""
    data = {
        "namespace": "default",
        "execution_id": EXECUTION_ID,
        "workflow_id": "code-census",
        "version": 2,
        "status": "EXECUTION_STATUS_RUNNING",
        "create_time": "2030-01-01T12:00:00Z",
        **fields,
    }
    return Execution.from_message(json_format.ParseDict(data, execution_pb2.Execution()))


def update(what: Execution | Event) -> WatchUpdate:
    """What a watch brings."""
    if isinstance(what, Execution):
        return WatchUpdate(what, None, "token")
    return WatchUpdate(None, what, f"token-{what.sequence}")
