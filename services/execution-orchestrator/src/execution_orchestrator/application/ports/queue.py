"""Ports to Redis: the queue, locks, the doorbell, the board of task types.

Redis holds only hints. If it loses all of them, that costs delay, never work.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from workflow_contract.doorbell import Ring

from execution_orchestrator.application.ports.hints import Hint

MAX_POP = 1_000
"""The most hints that one `pop` returns."""


class HintsUnavailableError(Exception):
    """Redis does not answer. After a commit the call has succeeded all the same: the sweep repairs the
    hints.
    """


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


class Lock(Protocol):
    """The right of one replica to do a duty, for a span of time. It saves work.

    Two replicas may have it at once, so the duty must be correct then too.
    """

    async def try_acquire(self) -> bool:
        """Take the lock if it is free, or extend it if this replica has it; return whether this replica has
        it.

        Raise HintsUnavailableError. The call may be repeated.
        """
        ...

    async def release(self) -> None:
        """Give the lock up if this replica has it. Raise nothing: if Redis does not answer, the lock
        expires.
        """
        ...


class TaskTypeBoard(Protocol):
    """The task types that live workers offer, on all replicas. Methods raise HintsUnavailableError."""

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        """Note that workers of this replica offer these types, for `trust_seconds`. May be repeated."""
        ...

    async def offered(self, namespace: str) -> frozenset[str]:
        """Return the types that any replica has noted and whose time is not over."""
        ...


class Doorbell(Protocol):
    """Tells every replica and gateway that executions changed. Rings may be lost; `on_gap` says when."""

    async def publish(self, rings: Sequence[Ring]) -> None:
        """Send all rings as one message. Raise HintsUnavailableError. May be repeated."""
        ...

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:
        """Give the rings of OTHER processes to `on_rings`, one call for each message, until cancelled.

        Call `on_gap` at the first connection and after every reconnection: rings may have been lost, so the
        caller must look at Postgres. Both functions must return quickly.
        """
        ...
