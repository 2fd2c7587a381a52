"""Ports to what only hints: the queue, locks, the doorbell, the board of task types. Losing all of it costs
delay, never work.
"""

from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from workflow_contract.doorbell import Ring

from execution_orchestrator.application.ports.hints import Hint

MAX_POP = 1_000
"""How many hints one `pop` gives at most."""


class HintsUnavailableError(Exception):
    """Redis does not answer. After a commit this is no error of the call: the sweep repairs it."""


class QueueStats(NamedTuple):
    """What waits in one queue."""

    queue: str
    length: int
    oldest_age_seconds: float | None  # None where it is empty


class QueuedHint(NamedTuple):
    """A hint and its place: a queue gives the hints with the lowest scores first."""

    hint: Hint
    score: float


class Queue(Protocol):
    """The hints of all namespaces, for all replicas. Methods raise HintsUnavailableError.

    A kind is a namespace and a task type. Within the kinds that a caller asks for, hints leave in the order
    in which they came; hints of other kinds cost the caller nothing.
    """

    async def push(self, hints: Sequence[Hint]) -> int:
        """Add the hints that their queues do not hold yet, behind all others.

        Returns how many hints were added. The call may be repeated.
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

    async def oldest_age(self, queue: str) -> float | None:
        """Return how many seconds the oldest hint has waited, or None if the queue is empty."""
        ...

    async def queues(self) -> list[str]:
        """Return the names of the queues that hold or held a hint since Redis was last wiped, sorted."""
        ...

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """Return what waits in each of the queues, asked with one round trip: give at most some thousand."""
        ...

    async def page(self, queue: str, cursor: int) -> tuple[int, list[QueuedHint]]:
        """Return about 1,000 hints of the queue without taking them, and the cursor of the next page.

        Begin with the cursor 0; after the last page the cursor is 0 again. A hint that waits during the whole
        walk is in at least one page; a hint that comes or goes in the meantime may be missing or appear
        twice.
        """
        ...

    async def remove(self, queue: str, seen: Sequence[QueuedHint]) -> int:
        """Remove hints that `page` returned. Returns how many were removed. The call may be repeated.

        A hint stays if it was taken and pushed again after the page was read.
        """
        ...

    async def heal(self, queue: str) -> bool:
        """Make the keys of the queue agree again if somebody deleted or edited one of them; ages are kept.

        Returns whether they disagreed. What all keys have lost comes back with the next `push` of it. The
        call may be repeated.
        """
        ...

    async def generation(self, queue: str) -> str | None:
        """Return the mark of the queue's present life, or None if Redis was wiped since `mark_generation`."""
        ...

    async def mark_generation(self, queue: str) -> bool:
        """Mark the queue if it has no mark. Returns whether this call set it: the caller must rebuild it NOW.

        Mark first, then rebuild: a wipe during the rebuild removes the mark, and is noticed again.
        """
        ...


class Lock(Protocol):
    """Leadership of a duty for a span of time. It saves work; two leaders at once must still be correct."""

    @property
    def held(self) -> bool:
        """Whether it is certainly ours still, by this process's own monotonic clock."""
        ...

    async def try_acquire(self) -> bool:
        """Take it, or prolong it where it is ours. Raises HintsUnavailableError. May be repeated."""
        ...

    async def renew(self) -> bool:
        """Prolong it by its time to live; False where it was lost. Raises HintsUnavailableError."""
        ...

    async def release(self) -> None:
        """Give it up where it is ours. Raises nothing: an unreachable lock expires by itself."""
        ...

    async def __aenter__(self) -> bool:
        """Try once, and while it is held renew it in the background: `async with lock as held`."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop renewing, and release."""
        ...


class TaskTypeBoard(Protocol):
    """Which task types live workers offer, over all replicas. Methods raise HintsUnavailableError."""

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        """Workers of this replica offer these: true for so many seconds, unless offered again. May be
        repeated.
        """
        ...

    async def offered(self, namespace: str) -> frozenset[str]:
        """What any replica has offered, and is trusted still."""
        ...


class Doorbell(Protocol):
    """Tells every replica and gateway that executions changed. A ring may be lost; `on_gap` says when."""

    async def publish(self, rings: Sequence[Ring]) -> None:
        """Send all of them as one message. Raises HintsUnavailableError. May be repeated."""
        ...

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:
        """Until cancelled: give the rings of OTHER processes to `on_rings`, one call per message.

        `on_gap` is called at the first connection and after every reconnection: rings may have been missed,
        look at Postgres. Both must return quickly.
        """
        ...
