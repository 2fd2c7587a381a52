"""The port to leases: of claims that no heartbeat has confirmed yet, and of worker processes.

Only the clock of the primary decides what has expired.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from execution_orchestrator.application.ports.store import HeartbeatClaim, HeldClaim, RunKey
from execution_orchestrator.domain.task import TaskKey


class Boot(NamedTuple):
    """A worker process. Each start of a worker has a new boot id."""

    namespace: str
    boot_id: str
    worker_id: str


class EndedBoot(NamedTuple):
    """A worker process that is lost, because its lease has expired."""

    namespace: str
    boot_id: str
    worker_id: str
    lease_expire_time: datetime


class ConfirmedClaim(NamedTuple):
    """A claim that the lease of its worker process covers."""

    execution_id: UUID
    key: TaskKey
    epoch: int


class LeaseStore(Protocol):
    """Leases in Postgres. Every method may raise StoreUnavailableError and RetryTransactionError."""

    async def renew(
        self, claims: Sequence[HeartbeatClaim], ttl: timedelta, boot: Boot | None
    ) -> list[HeldClaim]:
        """Renew claims for `ttl`, and return those that hold. May be repeated.

        With a boot, renew the lease of that worker process, and confirm its claims. Without one, and for
        claims that the lease of the boot cannot cover now, renew the lease of each claim.
        """
        ...

    async def end_boots(self, limit: int, take_over_after: timedelta) -> list[EndedBoot]:
        """Mark the worker processes whose lease has expired as ended. Return them: the caller must lose their
        claims.

        Return also processes that another replica marked over `take_over_after` ago: it may have died.
        """
        ...

    async def claims_of(
        self, namespace: str, boot_id: str, after: RunKey | None, limit: int
    ) -> list[ConfirmedClaim]:
        """Return a page of the confirmed claims of a worker process, in the order of their keys."""
        ...

    async def forget_boot(self, namespace: str, boot_id: str) -> bool:
        """Delete a worker process that is marked as ended and has no claims left. Return whether it was
        deleted.
        """
        ...

    async def primary(self) -> str | None:
        """Return the identity of the primary (its start and timeline), or None if the server is a standby."""
        ...
