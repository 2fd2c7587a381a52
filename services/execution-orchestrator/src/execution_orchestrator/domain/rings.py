"""What the doorbell says: look at this execution again. What is told comes from Postgres."""

from typing import NamedTuple
from uuid import UUID

STOP_WORD = "stop"


class Ring(NamedTuple):
    """A change of one execution was committed."""

    namespace: str
    execution_id: UUID
    last_sequence: int  # of its last event
    status: str  # of the execution, as in the contract without the prefix
    stop: bool = False  # attempts in flight must be told to stop

    def encode(self) -> str:
        """One line: `namespace execution_id last_sequence status`, and where it is so `stop`."""
        line = f"{self.namespace} {self.execution_id} {self.last_sequence} {self.status}"
        return f"{line} {STOP_WORD}" if self.stop else line

    @classmethod
    def decode(cls, line: str) -> "Ring":
        """The inverse of `encode`; words after these are passed over. Raises ValueError for what is none."""
        words = line.split(" ")
        if len(words) < 4:
            raise ValueError(f"not a ring: {line!r}")
        return cls(words[0], UUID(words[1]), int(words[2]), words[3], STOP_WORD in words[4:])
