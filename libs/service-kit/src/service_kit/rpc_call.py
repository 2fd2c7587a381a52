"""Which RPC the running task serves; read only when a log line is written, so a quiet call pays nothing."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"
MAX_LOGGED_CHARS = 200


@dataclass(slots=True)  # not frozen: that would cost each call half a microsecond
class RpcCall:
    """The method (`/package.Service/Method`) and the call's context."""

    method: str
    context: Any

    def log_fields(self) -> dict[str, str]:
        """`rpc`, and `request_id` and `traceparent` where the caller sent them as metadata."""
        fields = {"rpc": self.method}
        for key, value in self.context.invocation_metadata() or ():
            if key == REQUEST_ID_KEY and isinstance(value, str):
                fields["request_id"] = value[:MAX_LOGGED_CHARS]
            elif key == TRACEPARENT_KEY and isinstance(value, str):
                fields["traceparent"] = value[:MAX_LOGGED_CHARS]
        return fields


current_call: ContextVar[RpcCall | None] = ContextVar("current_call", default=None)
