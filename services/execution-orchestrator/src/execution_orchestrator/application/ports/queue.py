"""The port to the queue of hints."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from execution_orchestrator.application.ports.hints import Hint

MAX_POP = 1_000
"""The most hints that one `pop` returns."""


class QueueStats(NamedTuple):
    """The length of one queue, and the age of its oldest hint."""

    queue: str
    length: int
    oldest_age_seconds: float | None  # None if it is empty


class QueuedHint(NamedTuple):
    """A hint and its place in the queue: the hint with the lowest score leaves first."""

    hint: Hint
    score: float


class Queue(Protocol):
    """The hints of all namespaces, for all replicas. Methods raise HintsUnavailableError.

    A kind is a namespace and a task type. Within the kinds that a caller asks for, hints leave in the order
    in which they came; hints of other kinds cost the caller nothing.
    """

    async def push(self, hints: Sequence[Hint]) -> int:
        """Add the hints that their queues do not hold yet, behind all others.

        Return how many hints were added. The call may be repeated.
        """
        ...

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[QueuedHint]:
        """Take up to `limit` hints (at most 1,000) of the kinds in `accepts`, oldest first.

        Do not repeat the call after an error: hints that it took may be lost until the sweep.
        """
        ...

    async def put_back(self, taken: Sequence[QueuedHint]) -> None:
        """Return hints that were popped to the places that they had. The call may be repeated."""
        ...

    async def length(self, queue: str) -> int:
        """Return how many hints wait."""
        ...

    async def queues(self) -> list[str]:
        """Return the names of the queues that have had a hint since Redis was last wiped, sorted."""
        ...

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """Return what waits in each of the queues. This is one round trip: name at most some thousand."""
        ...

    async def page(self, queue: str, cursor: int) -> tuple[int, list[QueuedHint]]:
        """Return about 1,000 hints of the queue without taking them, and the cursor of the next page.

        Begin with the cursor 0; after the last page the cursor is 0 again. A hint that waits during the whole
        walk is in at least one page; a hint that comes or goes in the meantime may be missing or appear
        twice.
        """
        ...

    async def remove(self, queue: str, seen: Sequence[QueuedHint]) -> int:
        """Remove hints that `page` returned, and return how many were removed. The call may be repeated.

        A hint stays if it was taken and pushed again after the page was read.
        """
        ...

    async def heal(self, queue: str) -> bool:
        """Make the keys of the queue agree again if somebody deleted or edited one of them; keep the ages.

        Return whether they disagreed. A hint that all keys have lost comes back when somebody pushes it. The
        call may be repeated.
        """
        ...

    async def mark_generation(self, queue: str) -> bool:
        """Mark the queue if it has no mark. If this call set the mark, return True: the caller must rebuild
        the queue NOW.

        Mark first, then rebuild: if Redis is wiped during the rebuild, the mark is gone and the next call
        sees it.
        """
        ...
