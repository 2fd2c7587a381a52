"""Ports to what only hints: the queue, locks, the doorbell, the board of task types. Losing all of it costs
delay, never work.
"""

from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from execution_orchestrator.domain.hints import Hint
from execution_orchestrator.domain.rings import Ring

MAX_SKIPPED = 200
"""How many hints that the caller does not accept one `pop` looks past."""

MAX_POP = 1_000
"""How many hints one `pop` gives at most."""


class HintsUnavailableError(Exception):
    """Redis does not answer. After a commit this is no error of the call: the sweep repairs it."""


class QueueStats(NamedTuple):
    """What waits in one queue."""

    queue: str
    length: int
    oldest_age_seconds: float | None  # None where it is empty


class Queue(Protocol):
    """First in, first out, for all namespaces and replicas. Methods raise HintsUnavailableError."""

    async def push(self, hints: Sequence[Hint]) -> int:
        """Put those at the tail that their queue does not hold yet; says how many. May be repeated."""
        ...

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[Hint]:
        """Take up to `limit` hints (at most 1,000) whose namespace and task type are in `accepts`, oldest
        first.

        Others keep their place and order; behind 200 of them in a row of looking nothing is seen. Not to be
        repeated after an error: what was taken may be lost until the sweep.
        """
        ...

    async def length(self, queue: str) -> int:
        """How many hints wait."""
        ...

    async def oldest_age(self, queue: str) -> float | None:
        """How many seconds the oldest hint has waited; None where the queue is empty."""
        ...

    async def queues(self) -> list[str]:
        """The names of the queues that hold or held a hint since Redis was last wiped, sorted."""
        ...

    async def stats(self, queue: str | None = None) -> list[QueueStats]:
        """What waits in `queue`, or in each of `queues()`."""
        ...

    async def generation(self, queue: str) -> str | None:
        """The mark of the queue's present life; None where Redis was wiped since `mark_generation`."""
        ...

    async def mark_generation(self, queue: str) -> bool:
        """Mark the queue where it has no mark: True where the caller did, and so must rebuild it NOW.

        Mark first, rebuild then: a wipe in the middle takes the mark along and is noticed again.
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
