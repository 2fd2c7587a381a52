"""Why the user's work failed. A failure is data, never the status of a call."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from execution_orchestrator.domain.limits import MAX_FAILURE_TEXT_BYTES

START_TO_CLOSE_TIMEOUT = "StartToCloseTimeout"
HEARTBEAT_TIMEOUT = "HeartbeatTimeout"
SCHEDULE_TO_START_TIMEOUT = "ScheduleToStartTimeout"
TIMEOUTS = frozenset({START_TO_CLOSE_TIMEOUT, HEARTBEAT_TIMEOUT})
"""Those of an attempt, which its worker may notice first."""
EXECUTION_TIMEOUT = "ExecutionTimeout"
WORKER_LOST = "WorkerLost"
EXPRESSION_ERROR = "ExpressionError"
PAYLOAD_TOO_LARGE = "PayloadTooLarge"
PAYLOAD_INVALID = "PayloadInvalid"
HANDLER_CANCELLED = "HandlerCancelled"
OUTPUT_SCHEMA_VIOLATION = "OutputSchemaViolation"

NON_RETRYABLE = "non-retryable"
"""The `retry_state` of what would fail again in the same way."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure's class, its message for people, and where it happened."""

    type: str
    message: str
    details: str = ""
    non_retryable: bool = False
    task_id: str = ""
    item: int | None = None
    attempt: int = 0
    retry_state: str = ""  # why no retry followed; empty where one did

    def bounded(self) -> "Failure":
        """The same with texts cut to what is kept."""
        message = cut(self.message, MAX_FAILURE_TEXT_BYTES)
        details = cut(self.details, MAX_FAILURE_TEXT_BYTES)
        if message is self.message and details is self.details:
            return self
        return replace(self, message=message, details=details)

    def as_json(self) -> dict[str, Any]:
        """What is stored: the fields that are set."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value not in ("", None, 0, False) or (name == "item" and value == 0)
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The inverse of `as_json`."""
        return cls(**{"message": "", **stored})


def cut(text: str, max_bytes: int) -> str:
    """The text, or as much of it as fits into `max_bytes` of UTF-8; never half a character."""
    if len(text) * 4 <= max_bytes:
        return text
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
