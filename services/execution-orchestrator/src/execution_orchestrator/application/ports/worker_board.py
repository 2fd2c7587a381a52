"""The port to the board of connected workers. If the board is lost, the list is complete again in seconds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class BoardKey(NamedTuple):
    """The connection of a worker that an entry describes."""

    namespace: str
    session_id: str
    worker_id: str


class BoardEntry(NamedTuple):
    """An entry of the board, and the replica that wrote it."""

    replica: str
    update_time: datetime  # of the replica's last write to the board
    key: BoardKey


class WorkerFacts(NamedTuple):
    """The facts of one connection. `identity` never changes, and is None if it is on the board already."""

    identity: bytes | None
    state: bytes


class WorkerBoard(Protocol):
    """The connected workers of all replicas. Methods raise HintsUnavailableError."""

    async def write(
        self,
        replica: str,
        written: Mapping[BoardKey, WorkerFacts],
        gone: Collection[BoardKey],
        now: datetime,
        trust_seconds: float,
    ) -> bool:
        """Add or replace these entries of a replica and remove others. May be repeated.

        All entries of the replica hold for `trust_seconds` from now on. Return False if the board did not
        know the replica before this call: it has lost the earlier entries, so write all of them again. Pass
        at most some hundred entries.
        """
        ...

    async def forget(self, replica: str) -> None:
        """Remove the replica and its entries. May be repeated."""
        ...

    async def entries(self) -> list[BoardEntry]:
        """Return the entries that hold, of all replicas, in no particular order."""
        ...

    async def read(self, entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        """Return identity and state of each entry, in order; None if it is gone. Pass at most some
        hundred.
        """
        ...
