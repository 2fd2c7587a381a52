"""The doorbell: a message in Redis pub/sub after each commit that says which executions have new events.

A message is UTF-8 lines, one for each execution that changed:

    namespace SP execution_id SP last_sequence SP status [SP stop] [SP further words]

The doorbell carries no news. A ring may come late, twice or never: a listener reads the events themselves
from the orchestrator. Words may be added at the end of a line.
"""

from typing import Final, NamedTuple, Self
from uuid import UUID

CHANNEL: Final = "workflow:execution:events"
"""The pub/sub channel."""

STOP_WORD: Final = "stop"


class Ring(NamedTuple):
    """One line: a change of one execution was committed."""

    namespace: str
    execution_id: UUID
    last_sequence: int
    """The sequence number of the execution's last event."""
    status: str
    """The status of the execution, as in the contract without the prefix."""
    workers_must_check: bool = False
    """True if attempts in flight may have to stop: the orchestrator that holds their sessions checks it."""

    def encode(self) -> str:
        """Return the line."""
        line = f"{self.namespace} {self.execution_id} {self.last_sequence} {self.status}"
        return f"{line} {STOP_WORD}" if self.workers_must_check else line

    @classmethod
    def decode(cls, line: str) -> Self:
        """Return the ring of a line. Raise ValueError if the line is not a ring."""
        words = line.split(" ")
        if len(words) < 4:
            raise ValueError(f"not a ring: {line!r}")
        return cls(words[0], UUID(words[1]), int(words[2]), words[3], STOP_WORD in words[4:])
