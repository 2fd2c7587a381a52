"""The maximum age of connections and long streams, so that replicas that join later get their share.

When a connection has reached its maximum age, a tenth more or less, gRPC asks the client to leave it
(GOAWAY). Running calls continue for a grace period, and new calls use a new connection. A stream, such as a
worker's session or a watch, ends only after GOAWAY: otherwise its client would open the next stream on the
same connection, to the same replica.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

GOAWAY_JITTER: Final = 0.1
"""The share by which gRPC varies the age of connections; it is fixed."""

STREAM_JITTER: Final = 0.2
"""The share by which the ages of streams vary, so that the clients of a fleet do not leave together."""

LEAVE_SECONDS: Final = 30.0
"""How long a client may take after it was asked to leave. Then its stream ends."""


@dataclass(frozen=True, slots=True)
class StreamAge:
    """The ages that follow from the maximum age of a connection, in seconds; 0 means no limit."""

    connection_seconds: float
    uniform: Callable[[float, float], float]

    def next_stream_seconds(self) -> float | None:
        """Return after how many seconds to ask the client of a new stream to leave. None: never."""
        if not self.connection_seconds:
            return None
        # The connection is at least as old as its stream, so its GOAWAY comes first.
        shortest = 1 + GOAWAY_JITTER
        return self.connection_seconds * self.uniform(shortest, shortest + STREAM_JITTER)

    @property
    def grace_seconds(self) -> float:
        """How long a connection lives after GOAWAY: until the last stream has left.

        The stream may have begun just before GOAWAY, at most 1.1 ages after the connection. It leaves at
        most 1.3 ages later. GOAWAY came at least 0.9 ages after the connection began: 1.1 + 1.3 - 0.9 is 1.5.
        """
        return self.connection_seconds * 1.5 + 2 * LEAVE_SECONDS
