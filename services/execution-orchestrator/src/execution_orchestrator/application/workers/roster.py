"""The workers' sessions of this replica, and the room that they offer.

The roster knows who is connected, who has credits, and of which kinds of tasks something may wait in the
queue. It looks into no queue and claims nothing: the dispatcher does, and the roster wakes it when a look may
help.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from execution_orchestrator.application.engine.work import Claimant
from execution_orchestrator.application.ports.hints import Kind
from execution_orchestrator.application.workers.drained_kinds import DrainedKinds
from execution_orchestrator.application.workers.session import WorkerSession
from execution_orchestrator.application.workers.session_groups import SessionGroup, SessionGroups


class Roster:
    """The sessions that are open, in groups that accept the same kinds. Belongs to one event loop."""

    def __init__(self) -> None:
        self.groups = SessionGroups()
        self.drained = DrainedKinds()
        self._sessions: list[WorkerSession] = []
        self._wake = asyncio.Event()

    @property
    def sessions(self) -> Sequence[WorkerSession]:
        """The sessions that are open, the oldest first."""
        return self._sessions

    def add(self, session: WorkerSession) -> None:
        """Register a worker's session. From now on its credits count."""
        group = self.groups.add(session)

        def granted() -> None:
            group.note(session)
            self._wake.set()

        session.on_credit = granted
        self._sessions.append(session)

    def remove(self, session: WorkerSession) -> None:
        """Close the session of a worker that has gone. May be repeated.

        The claims of its worker stay until they are reported or expire.
        """
        session.close()
        self.groups.remove(session)
        if session in self._sessions:
            self._sessions.remove(session)

    # -- room for tasks that became ready -------------------------------------------------------

    def reserve(
        self, namespace: str, task_type: str, queue: str, reporter: Claimant | None
    ) -> Claimant | None:
        """See `Offers`."""
        if isinstance(reporter, WorkerSession) and reporter.accepts(namespace, task_type, queue):
            reporter.reserve()
            return reporter
        kind = (namespace, task_type, queue)
        if reporter is None and kind not in self.drained:
            return None  # other tasks of the kind wait, or may wait: they go first
        session = self.groups.idlest(kind)
        if session is None:
            self.drained.waits((kind,))  # this task itself, as soon as its transaction is committed
        else:
            session.reserve()
        return session

    def rooms(self) -> Iterator[SessionGroup]:
        """Iterate over the groups with room for whose kinds something may wait in the queue."""
        return (group for group in self.groups if self._may_find_work(group))

    def _may_find_work(self, group: SessionGroup) -> bool:
        if group.idlest() is None or group.drained_moment == self.drained.moment:
            return False
        if any(self.drained.undrained(kinds) for kinds in group.kinds.values()):
            return True
        # Until the next push this spares a group of many kinds the comparison.
        group.drained_moment = self.drained.moment
        return False

    # -- when to look ---------------------------------------------------------------------------

    def pushed(self, kinds: Collection[Kind] | None = None) -> None:
        """Note that hints of these kinds (None: of all kinds) may be in the queue; wake the dispatcher."""
        self.drained.waits(kinds)
        self._wake.set()

    def look_again(self) -> None:
        """Wake the dispatcher for another look."""
        self._wake.set()

    async def something_to_do(self, until: float) -> None:
        """Wait for a push or a credit, until that time of the event loop's clock at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        self._wake.clear()
