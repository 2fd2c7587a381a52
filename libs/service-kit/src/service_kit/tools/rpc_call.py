"""The RPC that the running task serves. Only log lines read it, so a call that logs nothing costs nothing.

A task that a handler starts inherits `current_call` and may outlive the call. gRPC frees the memory of the
metadata when the call ends, so drop the context before that (`end`).
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"
MAX_LOGGED_CHARS = 200


@dataclass(slots=True)  # not frozen: that would cost each call half a microsecond
class RpcCall:
    """The method (`/package.Service/Method`), and the context of the call while the call runs."""

    method: str
    context: Any
    _fields: dict[str, str] | None = None

    def log_fields(self) -> dict[str, str]:
        """Return `rpc`, and `request_id` and `traceparent` if the caller sent them as metadata.

        After the end of the call, the last two are known only if a line was logged during the call.
        """
        if self._fields is None:
            context = self.context
            if context is None:
                return {"rpc": self.method}
            self._fields = {"rpc": self.method, **_sent_by_caller(context)}
        return dict(self._fields)

    def end(self) -> None:
        """Drop the context, because gRPC frees the memory of its metadata."""
        self.context = None


def _sent_by_caller(context: Any) -> dict[str, str]:
    fields = {}
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str):
            fields["request_id"] = value[:MAX_LOGGED_CHARS]
        elif key == TRACEPARENT_KEY and isinstance(value, str):
            fields["traceparent"] = value[:MAX_LOGGED_CHARS]
    return fields


current_call: ContextVar[RpcCall | None] = ContextVar("current_call", default=None)
