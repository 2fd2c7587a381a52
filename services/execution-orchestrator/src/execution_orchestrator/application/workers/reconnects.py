"""Workers that connect again: the newest session of each boot takes over the claims of the one before.

A worker process has one boot id for each lane, and each lane has one session at a time. So a second session
of a boot means that the worker has given up the first one, even if the replica has not noticed yet that its
connection is gone.
"""

import time
from collections.abc import Callable
from typing import Final

from service_kit.errors import ServiceError, aborted

from execution_orchestrator.application.workers.session import WorkerSession

NAMED_WITHIN: Final = 2 / 3
"""Share of the lease's TTL within which a worker surely names what it holds: it sends a heartbeat in every
third of the TTL. There is still time to hand back the other claims before the lease expires.
"""

Boot = tuple[str, str]
"""Namespace and boot id."""


class Reconnects:
    """The newest session of each boot on this replica, and its claims for one TTL after its end."""

    def __init__(
        self,
        lease_ttl_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        named_within: float = NAMED_WITHIN,
    ) -> None:
        self._named_within = named_within
        self._ttl = lease_ttl_seconds
        self._monotonic = monotonic
        self._newest: dict[Boot, WorkerSession] = {}
        self._ended: dict[Boot, float] = {}  # by time; after one TTL the claims have expired

    def __len__(self) -> int:
        return len(self._newest)

    def begin(self, session: WorkerSession) -> None:
        """Make this the session of its boot: close an older one, and take over its claims."""
        self._forget_expired()
        boot = _boot(session)
        self._ended.pop(boot, None)
        older = self._newest.get(boot)
        self._newest[boot] = session
        if older is not None:
            older.fail(_replaced())
            session.take_over(older, self._ttl * self._named_within)

    def end(self, session: WorkerSession) -> None:
        """Note that the session has ended. Its claims wait one TTL for the worker's next session."""
        boot = _boot(session)
        if self._newest.get(boot) is session:
            self._ended.pop(boot, None)
            self._ended[boot] = self._monotonic()
        self._forget_expired()

    def _forget_expired(self) -> None:
        oldest = self._monotonic() - self._ttl
        while self._ended:
            boot, ended = next(iter(self._ended.items()))
            if ended > oldest:
                return
            del self._ended[boot], self._newest[boot]


def _boot(session: WorkerSession) -> Boot:
    return session.worker.namespace, session.boot_id


def _replaced() -> ServiceError:
    message = (
        "the worker opened a newer session; if it did not, give every worker process a boot id of its own"
    )
    return aborted("SESSION_REPLACED", message)
