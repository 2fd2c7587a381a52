"""The number of calls that a server serves at a time.

A call that waits or streams costs little but memory, so the limit is high: it protects against a client that
opens calls without end. Short calls that arrive in a burst never reach it, because gRPC starts them one after
the other, as the event loop gets to them (`ServerLimits.max_unread_calls`).
"""

from __future__ import annotations

import math

from service_kit.errors import OVERLOADED, resource_exhausted


class CallRoom:
    """The places for calls: `with room: ...` takes one."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: float = math.inf) -> None:
        self._limit = limit
        self._taken = 0

    def __enter__(self) -> None:
        """Take a place. Raise ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if all are taken."""
        if self._taken >= self._limit:
            message = (
                f"this replica already serves {self._limit:,} calls (MAX_CALLS): send the same call again"
                " after a short wait, or add replicas"
            )
            raise resource_exhausted(OVERLOADED, message, limit=str(self._limit))
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        self._taken -= 1
