"""The port to the facts that the duties need: the replicas, what is due, old request ids.

Every method may raise StoreUnavailableError and RetryTransactionError, and may be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from execution_orchestrator.domain.task import NO_ITEM, TaskKey

OUTAGE_AFTER: Final = timedelta(seconds=3)
"""A replica that did not report for this long is away. If all replicas are away, the engine is out of
service.
"""

RECONNECT_GRACE: Final = timedelta(seconds=30)
"""For this time after an outage no job fails because no worker took it: workers need time to come back."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """The position of a walk along the timers: after this row. The walk goes in the order of the fields."""

    wake_time: datetime
    execution_id: UUID = UUID(int=0)
    task_id: str = ""
    item: int = NO_ITEM


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the due rows that one replica takes: number `index` of `count` parts."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Presence:
    """The answer to a replica that reports to be there. Every time is the primary's."""

    now: datetime
    share: Share
    outage_end: datetime
    """The end of the newest outage of the engine, or EARLIEST."""
    available_since: datetime
    """The start of Postgres or the end of that outage, whichever was later."""
    new_outage: timedelta | None
    """The length of the outage that this report has just ended, if there was one."""


class DueRow(NamedTuple):
    """A task run, or an execution (its task id is empty), whose time has come."""

    place: Place
    waited_through_outage: bool
    """True if it is a job that waited while the engine was out of service: it gets that time back."""

    @property
    def task(self) -> TaskKey | None:
        """The key of the task run; None if it is an execution."""
        return TaskKey(self.place.task_id, self.place.item) if self.place.task_id else None


class DuePage(NamedTuple):
    """Rows that are due, in the order of their times, and the primary's time of the look."""

    now: datetime
    rows: Sequence[DueRow]


class UpkeepStore(Protocol):
    """The facts that repair needs."""

    async def beat(self, replica_id: UUID) -> Presence:
        """Record that this replica is there. If all replicas were away, record the outage.

        If several replicas return at the same time, all of them learn the same outage.
        """
        ...

    async def leave(self, replica_id: UUID) -> None:
        """Record that this replica has stopped."""
        ...

    async def due_tasks(
        self, after: Place, limit: int, presence: Presence, *, claims_may_end: bool
    ) -> DuePage:
        """Return up to `limit` task runs of this replica's share whose time has come, after a place.

        Without `claims_may_end`, leave out task runs that a worker has.
        """
        ...

    async def due_executions(self, after: Place, limit: int, presence: Presence) -> DuePage:
        """Return up to `limit` executions of this replica's share whose deadline has come, after a place."""
        ...

    async def give_time_back(self, outage_end: datetime, limit: int) -> int:
        """Move the deadlines of up to `limit` due jobs that waited through an outage. Return how many.

        A job gets the time of every outage back once; rules/bulk.py says how much.
        """
        ...

    async def forget_request_ids(self, age: timedelta, limit: int) -> int:
        """Forget up to `limit` request ids that are older than `age`. Return how many."""
        ...
