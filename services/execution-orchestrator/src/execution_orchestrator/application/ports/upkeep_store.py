"""Port to what keeps the engine going: which replicas work, what is due, which request ids are too old.

Every method may raise StoreUnavailableError and RetryTransactionError, and may be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from execution_orchestrator.domain.task import NO_ITEM, TaskKey

OUTAGE_AFTER: Final = timedelta(seconds=3)
"""A replica that was not seen for this long is away. If all of them are away, the engine is out of
service."""

RECONNECT_GRACE: Final = timedelta(seconds=30)
"""How long after an outage no job fails because no worker took it: workers need time to come back."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Where a walk along the timers stands: behind this row. The order of the walk is that of the fields."""

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
    """What a replica learns when it says that it is there. Every time is the primary's."""

    now: datetime
    share: Share
    outage_end: datetime
    """When the newest outage of the engine ended; EARLIEST if there was none."""
    available_since: datetime
    """When Postgres started, or when that outage ended if that was later."""
    new_outage: timedelta | None
    """How long the outage was that this replica has just found to be over."""


class DueRow(NamedTuple):
    """A task run, or an execution (its task id is empty), whose time has come."""

    place: Place
    waited_through_outage: bool
    """Whether it is a job that waited while the engine was out of service: its time is not over yet."""

    @property
    def task(self) -> TaskKey | None:
        """The task run; None if it is an execution."""
        return TaskKey(self.place.task_id, self.place.item) if self.place.task_id else None


class DuePage(NamedTuple):
    """What is due, in the order of its time, and the primary's time of the look."""

    now: datetime
    rows: Sequence[DueRow]


class UpkeepStore(Protocol):
    """The facts that repair needs."""

    async def beat(self, replica_id: UUID) -> Presence:
        """Note that this replica is there, and if all were away, note the outage.

        Of several replicas that return at the same time all learn the same outage.
        """
        ...

    async def leave(self, replica_id: UUID) -> None:
        """Note that this replica has stopped."""
        ...

    async def due_tasks(
        self, after: Place, limit: int, presence: Presence, *, claims_may_end: bool
    ) -> DuePage:
        """Up to `limit` task runs of this replica's share whose time has come, behind a place.

        Without `claims_may_end`, none that a worker has.
        """
        ...

    async def due_executions(self, after: Place, limit: int, presence: Presence) -> DuePage:
        """Up to `limit` executions of this replica's share whose deadline has come, behind a place."""
        ...

    async def give_time_back(self, outage_end: datetime, limit: int) -> int:
        """Move the deadlines of up to `limit` due jobs that waited through an outage; returns how many.

        A job gets the time of every outage back once: see docs/adr on outages.
        """
        ...

    async def forget_request_ids(self, age: timedelta, limit: int) -> int:
        """Forget up to `limit` request ids that are older than `age`; returns how many."""
        ...
