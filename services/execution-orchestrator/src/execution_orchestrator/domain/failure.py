"""Failures of users' work. A failure is data, never the status of a call."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from execution_orchestrator.domain.limits import MAX_FAILURE_TEXT_BYTES

START_TO_CLOSE_TIMEOUT = "StartToCloseTimeout"
HEARTBEAT_TIMEOUT = "HeartbeatTimeout"
SCHEDULE_TO_START_TIMEOUT = "ScheduleToStartTimeout"
TIMEOUTS = frozenset({START_TO_CLOSE_TIMEOUT, HEARTBEAT_TIMEOUT})
"""Timeouts of an attempt. Its worker may notice them before the engine does."""
EXECUTION_TIMEOUT = "ExecutionTimeout"
WORKER_LOST = "WorkerLost"
EXPRESSION_ERROR = "ExpressionError"
PAYLOAD_TOO_LARGE = "PayloadTooLarge"
PAYLOAD_INVALID = "PayloadInvalid"
HANDLER_CANCELLED = "HandlerCancelled"
OUTPUT_SCHEMA_VIOLATION = "OutputSchemaViolation"

NON_RETRYABLE = "non-retryable"
"""The `retry_state` of a failure that another attempt would only repeat."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The type of a failure, its message for people, and its place."""

    type: str
    message: str
    details: str = ""
    non_retryable: bool = False
    task_id: str = ""
    item: int | None = None
    attempt: int = 0
    retry_state: str = ""  # why no retry followed; empty if one did

    def bounded(self) -> "Failure":
        """Return the failure with its texts cut to MAX_FAILURE_TEXT_BYTES."""
        message = cut(self.message, MAX_FAILURE_TEXT_BYTES)
        details = cut(self.details, MAX_FAILURE_TEXT_BYTES)
        if message is self.message and details is self.details:
            return self
        return replace(self, message=message, details=details)

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set, as they are stored."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value not in ("", None, 0, False) or (name == "item" and value == 0)
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the failure that `as_json` stored."""
        return cls(**{"message": "", **stored})


def cut(text: str, max_bytes: int) -> str:
    """Return the beginning of the text that fits into `max_bytes` of UTF-8. Never cut a character in half."""
    if len(text) * 4 <= max_bytes:
        return text
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
