"""The port to the board of connected workers. Losing the board costs the list of workers some seconds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class BoardKey(NamedTuple):
    """Which connection of a worker an entry of the board is about."""

    namespace: str
    session_id: str
    worker_id: str


class BoardEntry(NamedTuple):
    """An entry of the board, and the replica that wrote it."""

    replica: str
    update_time: datetime  # when the replica wrote to the board last
    key: BoardKey


class WorkerFacts(NamedTuple):
    """The facts of one connection. `identity` never changes: None if it is on the board already."""

    identity: bytes | None
    state: bytes


class WorkerBoard(Protocol):
    """The workers that are connected, over all replicas. Methods raise HintsUnavailableError."""

    async def write(
        self,
        replica: str,
        written: Mapping[BoardKey, WorkerFacts],
        gone: Collection[BoardKey],
        now: datetime,
        trust_seconds: float,
    ) -> bool:
        """Add or replace these entries of a replica and remove others. May be repeated.

        All entries of the replica hold for `trust_seconds` from now on. Returns False if the board did not
        know the replica before this call: what was written earlier is lost, so write all of it. Give at most
        some hundred entries.
        """
        ...

    async def forget(self, replica: str) -> None:
        """Remove the replica and its entries. May be repeated."""
        ...

    async def entries(self) -> list[BoardEntry]:
        """Return the entries that hold, of all replicas, in no particular order."""
        ...

    async def read(self, entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        """Return identity and state of each entry, in order; None if it is gone. Give some hundred."""
        ...
