"""The connections of workers to this replica, which it writes to a board that all replicas read.

Every REFRESH_SECONDS a replica writes the changes of its workers to the board in Redis. After Redis was
away or wiped, it writes all of them. So an answer is at most a few seconds old, and says how old it is.

The trust window: an entry of a replica is trusted for TRUST_SECONDS. So the workers of a replica that died
leave the list within this time, unless they connect to another replica before. A worker that asks with
LeaseTasks stays in the list for this time after its last call.

The cost has limits. A refresh looks at the sessions of the replica and at the tasks in their hands, and
writes MAX_TASKS_WRITTEN of these at most. It asks Postgres nothing. Each lease costs one note of its time.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from service_kit.tools.clock import Clock
from workflowsystem.execution.v1 import worker_pb2 as pb

from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.worker_board import BoardKey, WorkerBoard, WorkerFacts
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from execution_orchestrator.application.workers.worker_facts import identity_facts, session_facts, unary_facts

TRUST_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 2.5
ENTRIES_AT_ONCE: Final = 200
"""Entries of one message to Redis. Between two messages the event loop does other work."""
MAX_BYTES_AT_ONCE: Final = 1024 * 1024
"""Of one message to Redis, and one entry more."""
MAX_TASKS_SHOWN: Final = 100
"""Tasks of one worker on the board."""
MAX_TASKS_WRITTEN: Final = 5_000
"""Tasks of all workers of a replica on the board, shared among them alike; at least one of each worker."""
MAX_UNARY_WORKERS: Final = 10_000
"""Workers without a session that one replica lists; the ones that called last."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BoardLimits:
    """How long what a replica wrote holds, how often it writes, and how much it writes."""

    trust_seconds: float = TRUST_SECONDS
    refresh_seconds: float = REFRESH_SECONDS
    entries_at_once: int = ENTRIES_AT_ONCE
    bytes_at_once: int = MAX_BYTES_AT_ONCE
    tasks_written: int = MAX_TASKS_WRITTEN
    unary_workers: int = MAX_UNARY_WORKERS


USUAL_LIMITS: Final = BoardLimits()


@dataclass(slots=True)
class _Session:
    """A session that is open."""

    session: WorkerSession
    key: BoardKey
    peer: str
    connect_time: datetime
    written: bytes = b""  # the state that the board has; empty if it has none

    def identity(self) -> bytes:
        return identity_facts(
            self.session.worker, pb.WORKER_PROTOCOL_SESSION, self.key.session_id, self.peer, self.connect_time
        )

    def state(self, max_tasks: int, now: datetime) -> bytes:
        return session_facts(self.session, max_tasks, now)


@dataclass(slots=True)
class _Unary:
    """A worker that asks with LeaseTasks."""

    worker: WorkerIdentity
    key: BoardKey
    peer: str
    connect_time: datetime
    last_call: datetime
    ended: float = 0.0  # of the monotonic clock, while no call is open
    calls: int = field(default=0)
    written: bytes = b""

    def identity(self) -> bytes:
        return identity_facts(
            self.worker, pb.WORKER_PROTOCOL_UNARY, self.key.session_id, self.peer, self.connect_time
        )

    def state(self, max_tasks: int, now: datetime) -> bytes:
        return unary_facts(self.last_call)


_Entry = _Session | _Unary


class ConnectedWorkers:
    """The workers of this replica. `replica` is the name under which the board keeps them."""

    def __init__(
        self, board: WorkerBoard, clock: Clock, replica: str, limits: BoardLimits = USUAL_LIMITS
    ) -> None:
        self._limits = limits
        self._board = board
        self._clock = clock
        self._replica = replica
        self._sessions: dict[WorkerSession, _Session] = {}
        self._unary: OrderedDict[tuple[str, str, str], _Unary] = (
            OrderedDict()
        )  # the latest caller is the last
        self._on_board: set[BoardKey] = set()
        self._anew = True  # the board may have unknown entries of this replica
        self._down = False

    def joined(self, session: WorkerSession, session_id: str, peer: str) -> None:
        """Note that a worker has opened a session. `session_id` is the one of its Welcome."""
        key = _key(session.worker, session_id)
        self._sessions[session] = _Session(session, key, peer, self._clock.now())

    def left(self, session: WorkerSession) -> None:
        """Note that a session has ended. The call may be repeated."""
        self._sessions.pop(session, None)

    def called(self, worker: WorkerIdentity, session_id: str, peer: str) -> _Unary:
        """Note a call of LeaseTasks. Pass what this returns to `answered` when the call ends, in any way.

        `session_id` names the worker if it was not known yet.
        """
        identity = (worker.namespace, worker.worker_id, worker.boot_id)
        now = self._clock.now()
        known = self._unary.get(identity)
        if known is None or known.worker != worker:
            known = _Unary(worker, _key(worker, session_id), peer, now, now)
            self._unary[identity] = known
            self._bound_unary()
        self._unary.move_to_end(identity)
        known.last_call = now
        known.calls += 1
        return known

    def answered(self, call: _Unary) -> None:
        """Note that a call of LeaseTasks has ended."""
        call.calls -= 1
        call.ended = self._clock.monotonic()

    def _bound_unary(self) -> None:
        while len(self._unary) > self._limits.unary_workers:
            self._unary.popitem(last=False)

    # -- writing --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the board up to date until cancelled."""
        while True:
            await self.write()
            await self._clock.sleep(self._limits.refresh_seconds)

    async def write(self) -> None:
        """Bring the board up to date. If Redis does not answer, write everything when it is back."""
        self._forget_silent()
        try:
            if self._anew:
                await self._begin_anew()
            if not await self._write_changes():  # Redis was wiped, or this replica wrote nothing for too long
                await self._begin_anew()
                await self._write_changes()
        except HintsUnavailableError as error:
            self._anew = True  # nobody knows what the board has
            if not self._down:
                log.warning(
                    "workers_not_written", error=str(error), next_step="they are written when Redis answers"
                )
            self._down = True
        else:
            self._down = False

    async def leave(self) -> None:
        """Take this replica's workers off the board. Raise nothing: entries that stay expire."""
        try:
            await self._board.forget(self._replica)
        except HintsUnavailableError as error:
            log.info("workers_not_removed", error=str(error))

    async def _begin_anew(self) -> None:
        """Take everything off the board, so that all is written again."""
        await self._board.forget(self._replica)
        self._on_board.clear()
        for entry in self._entries():
            entry.written = b""
        await self._send({}, ())
        self._anew = False

    async def _write_changes(self) -> bool:
        """Write the changes, in parts. Return whether the board still had the entries written before."""
        entries = list(self._entries())
        gone = self._on_board - {entry.key for entry in entries}
        max_tasks = max(1, min(MAX_TASKS_SHOWN, self._limits.tasks_written // max(1, len(entries))))
        known = await self._send({}, gone)
        at_once = self._limits.entries_at_once
        for first in range(0, len(entries), at_once):
            known &= await self._write_some(entries[first : first + at_once], max_tasks)
        return known

    async def _write_some(self, entries: list[_Entry], max_tasks: int) -> bool:
        now, known, size = self._clock.now(), True, 0
        changed: dict[BoardKey, WorkerFacts] = {}
        for entry in entries:
            state = entry.state(max_tasks, now)
            if state == entry.written:
                continue
            identity = None if entry.key in self._on_board else entry.identity()
            changed[entry.key], entry.written = WorkerFacts(identity, state), state
            size += len(identity or b"") + len(state)
            if size > self._limits.bytes_at_once:
                known &= await self._send(changed, ())
                changed, size = {}, 0
        return known & (await self._send(changed, ()) if changed else True)

    async def _send(self, written: dict[BoardKey, WorkerFacts], gone: Iterable[BoardKey]) -> bool:
        left, trust_seconds = list(gone), self._limits.trust_seconds
        known = await self._board.write(self._replica, written, left, self._clock.now(), trust_seconds)
        self._on_board |= written.keys()
        self._on_board.difference_update(left)
        return known

    def _entries(self) -> Iterator[_Entry]:
        yield from self._sessions.values()
        yield from self._unary.values()

    def _forget_silent(self) -> None:
        oldest = self._clock.monotonic() - self._limits.trust_seconds
        silent = [id_ for id_, each in self._unary.items() if not each.calls and each.ended <= oldest]
        for identity in silent:
            del self._unary[identity]


def _key(worker: WorkerIdentity, session_id: str) -> BoardKey:
    return BoardKey(worker.namespace, session_id, worker.worker_id)
