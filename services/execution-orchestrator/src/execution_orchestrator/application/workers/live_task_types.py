"""Which task types have a live worker, over all replicas.

A worker is live while its session is open, or its LeaseTasks waits; one that is draining is not. Every
replica tells the board in Redis what its own workers offer: at once what is new, and all of it every
REFRESH_SECONDS.

The trust window: an offer holds for TRUST_SECONDS from when it was told last. So the types of a worker that
has left, and those of a replica that died, are gone within TRUST_SECONDS + REFRESH_SECONDS, 12.5 s; a worker
that is restarted within that time, or asks with LeaseTasks so often, was never missed. One whose machine
vanished without a word leaves when the server's keepalive ends its stream, up to 40 s later. After a loss of
Redis the types are back within REFRESH_SECONDS of its return.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import structlog

from execution_orchestrator.application.ports.queue import HintsUnavailableError, TaskTypeBoard
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerSession

TRUST_SECONDS = 10.0
REFRESH_SECONDS = 2.5

log = structlog.get_logger(__name__)


class LiveTaskTypes:
    """Tells the board of this replica's workers, and reads what all of them have told."""

    def __init__(
        self,
        board: TaskTypeBoard,
        roster: Roster,
        *,
        trust_seconds: float = TRUST_SECONDS,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._trust_seconds = trust_seconds
        self._refresh_seconds = refresh_seconds
        self._board = board
        self._roster = roster
        self._joined: dict[str, set[str]] = defaultdict(set)  # since the last telling, even if gone again
        self._told: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._down = False

    def joined(self, session: WorkerSession) -> None:
        """A worker has come."""
        worker = session.worker
        self._joined[worker.namespace] |= worker.task_types
        if not worker.task_types <= self._told.get(worker.namespace, frozenset()):
            self._wake.set()

    async def missing(self, namespace: str, task_types: Iterable[str]) -> list[str]:
        """Those of the types that no live worker offers, by name. Raises HintsUnavailableError."""
        asked = set(task_types)
        return sorted(asked - await self._board.offered(namespace)) if asked else []

    async def run(self) -> None:
        """Until cancelled: keep the board up to date."""
        while True:
            await self._refresh()
            try:
                async with asyncio.timeout(self._refresh_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        self._wake.clear()
        offers, self._joined = self._joined, defaultdict(set)
        for session in self._roster.sessions:
            if not session.draining and not session.closed:
                offers[session.worker.namespace] |= session.worker.task_types
        try:
            for namespace, task_types in offers.items():
                await self._board.offer(namespace, task_types, self._trust_seconds)
        except HintsUnavailableError as error:
            self._told = {}
            if not self._down:
                log.warning("task_types_not_told", error=str(error), next_step="told when Redis answers")
            self._down = True
        else:
            self._told = {namespace: frozenset(types) for namespace, types in offers.items()}
            self._down = False
