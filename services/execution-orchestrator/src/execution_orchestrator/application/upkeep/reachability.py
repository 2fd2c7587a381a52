"""The rule for whether expired leases count: only if workers could have renewed them.

While no orchestrator reaches the primary, no heartbeat is recorded, and leases expire without any fault of
the workers. So a replica takes no claim from a worker before it has reached the primary for one lease TTL
without a break. In that time every living worker has sent a heartbeat again, or has reported its results.
"""

from datetime import timedelta

import structlog
from service_kit.tools.clock import Clock

from execution_orchestrator.application.ports.lease_store import LeaseStore
from execution_orchestrator.application.ports.store import RetryTransactionError, StoreUnavailableError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
MIN_BREAK_SECONDS = 1.0
MAX_BREAK_SECONDS = 5.0


class Reachability:
    """The time since which this process has reached the same primary without a break.

    A break is a failed look, another server, or another start of the server. It is also a time without a
    successful look: a third of the lease TTL, but at least 1 s and at most 5 s. Workers renew at each third
    of the TTL, so a shorter time makes no lease expire. A process that was stopped for longer has a break
    too.
    """

    def __init__(self, store: LeaseStore, clock: Clock, lease_ttl: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._ttl = lease_ttl.total_seconds()
        self._break = min(max(self._ttl / 3, MIN_BREAK_SECONDS), MAX_BREAK_SECONDS)
        self._primary: str | None = None
        self._since: float | None = None
        self._last = 0.0

    @property
    def steady(self) -> bool:
        """True if this process has reached the primary for one lease TTL without a break, until now."""
        now = self._clock.monotonic()
        return self._since is not None and now - self._last <= self._break and now - self._since >= self._ttl

    def reached(self, primary: str) -> None:
        """Record that the primary has just answered. `primary` names the server and its start."""
        now = self._clock.monotonic()
        if self._since is None or primary != self._primary or now - self._last > self._break:
            self._since = now
            log.info("primary_reached", primary=primary, seconds_until_leases_expire=self._ttl)
        self._primary, self._last = primary, now

    def failed(self) -> None:
        """Record that no primary could be reached."""
        self._since = None

    async def run(self) -> None:
        """Look for the primary until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask the primary who it is, and record the answer."""
        problem = "the server is a standby"
        try:
            primary = await self._store.primary()
        except (StoreUnavailableError, RetryTransactionError) as error:
            primary, problem = None, str(error)
        if primary is not None:
            self.reached(primary)
        else:
            if self._since is not None:  # once for each outage
                log.warning("primary_not_reached", error=problem)
            self.failed()
