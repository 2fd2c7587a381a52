"""The sessions of this replica, in groups: which of them may run a task, and which has the most room.

The sessions of a group have the same namespace, task types and queues. So one look into a queue serves all of
them, and an index from kinds to groups stays small while sessions come and go by the thousand.
"""

from collections import defaultdict
from collections.abc import Iterator, KeysView
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from execution_orchestrator.application.ports.hints import Kind
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession

SPARE_ENTRIES = 64
"""Outdated entries that a heap may hold before it is built anew, besides one for each session."""


class SessionGroup:
    """Sessions that accept the same tasks, by their load: the least loaded one is found in O(log n).

    The load of a session is the negative share of its slots that are free. A heap holds an entry for each
    session that has credits. Credits that are taken make an entry outdated, which `idlest` corrects when it
    comes across it.
    """

    def __init__(self, worker: WorkerIdentity) -> None:
        self.kinds: dict[str, frozenset[Kind]] = {
            queue: frozenset((worker.namespace, task_type, queue) for task_type in worker.task_types)
            for queue in sorted(worker.queues)
        }
        self.queues = list(self.kinds)  # in the order in which to look into them
        self.sessions: set[WorkerSession] = set()
        self.drained_moment = (
            -1
        )  # the last moment, as `DrainedKinds` counts, when nothing of its kinds waited
        self._noted: dict[WorkerSession, float] = {}  # the load in the entry of the heap that counts
        self._heap: list[tuple[float, int, WorkerSession]] = []
        self._entries = count()

    @property
    def credits(self) -> int:
        """The number of leases that its workers would take now."""
        return sum(session.credits for session in self.sessions)

    def served(self, queue: str) -> None:
        """Look into this queue last from now on, so that a full queue does not keep its workers from the
        others.
        """
        self.queues.remove(queue)
        self.queues.append(queue)

    def note(self, session: WorkerSession) -> None:
        """Note that a worker has granted its session credits."""
        load = _load(session)
        if load < self._noted.get(session, 0.0):
            self._noted[session] = load
            heappush(self._heap, (load, next(self._entries), session))
            if len(self._heap) > len(self._noted) + len(self.sessions) + SPARE_ENTRIES:
                self._heap = [(load, next(self._entries), each) for each, load in self._noted.items()]
                heapify(self._heap)

    def forget(self, session: WorkerSession) -> None:
        """Remove a session from the group."""
        self.sessions.discard(session)
        self._noted.pop(session, None)

    def idlest(self) -> WorkerSession | None:
        """Return the session with the greatest share of free slots, or None if no session has a credit."""
        while self._heap:
            noted, _, session = self._heap[0]
            load = _load(session)
            if noted != self._noted.get(session):
                heappop(self._heap)
            elif load == 0.0:
                heappop(self._heap)
                del self._noted[session]
            elif load != noted:
                self._noted[session] = load
                heapreplace(self._heap, (load, next(self._entries), session))
            else:
                return session
        return None


class SessionGroups:
    """All groups, and which of them accept a kind."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, frozenset[str], frozenset[str]], SessionGroup] = {}
        self._by_kind: dict[Kind, list[SessionGroup]] = defaultdict(list)

    def __iter__(self) -> Iterator[SessionGroup]:
        return iter(self._groups.values())

    @property
    def kinds(self) -> KeysView[Kind]:
        """The kinds that at least one session accepts."""
        return self._by_kind.keys()

    def add(self, session: WorkerSession) -> SessionGroup:
        """Put a session into its group, and return the group."""
        key = _key(session.worker)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = SessionGroup(session.worker)
            for kinds in group.kinds.values():
                for kind in kinds:
                    self._by_kind[kind].append(group)
        group.sessions.add(session)
        return group

    def remove(self, session: WorkerSession) -> None:
        """Forget a session; the call may be repeated."""
        key = _key(session.worker)
        group = self._groups.get(key)
        if group is None:
            return
        group.forget(session)
        if not group.sessions:
            del self._groups[key]
            for kind in (kind for kinds in group.kinds.values() for kind in kinds):
                self._by_kind[kind].remove(group)
                if not self._by_kind[kind]:
                    del self._by_kind[kind]

    def idlest(self, kind: Kind) -> WorkerSession | None:
        """Return the session with the greatest share of free slots, of all that accept the kind."""
        groups = self._by_kind.get(kind, ())
        if len(groups) == 1:  # as a rule
            return groups[0].idlest()
        able = [session for group in groups if (session := group.idlest()) is not None]
        return min(able, key=_load, default=None)


def _key(worker: WorkerIdentity) -> tuple[str, frozenset[str], frozenset[str]]:
    return worker.namespace, worker.task_types, worker.queues


def _load(session: WorkerSession) -> float:
    return 0.0 if session.closed else -max(0, session.credits) / session.worker.slots
