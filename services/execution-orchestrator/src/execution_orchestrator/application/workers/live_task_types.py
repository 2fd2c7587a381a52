"""The task types that have a live worker on any replica.

A worker is live while its session is open or its call of LeaseTasks waits, unless it drains. Every replica
writes to a board in Redis what its own workers offer: new types at once, and all types every REFRESH_SECONDS.

The trust window: an offer is trusted for TRUST_SECONDS after it was written. So when a worker leaves or a
replica dies, its types are gone within TRUST_SECONDS + REFRESH_SECONDS, 12.5 s. A worker that restarts or
calls LeaseTasks again within that time is never reported as missing. If a worker's machine vanishes,
keepalive ends its stream up to 40 s later, and only then the window begins. After a loss of Redis the types
are back within REFRESH_SECONDS of its return.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import structlog

from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.task_type_board import TaskTypeBoard
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerSession

TRUST_SECONDS = 10.0
REFRESH_SECONDS = 2.5

log = structlog.get_logger(__name__)


class LiveTaskTypes:
    """Writes the offers of this replica's workers to the board, and reads those of all replicas."""

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
        self._joined: dict[str, set[str]] = defaultdict(set)  # since the last write
        self._written: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._down = False

    def joined(self, session: WorkerSession) -> None:
        """Note that a worker has connected. New types are written at once."""
        worker = session.worker
        self._joined[worker.namespace] |= worker.task_types
        if not worker.task_types <= self._written.get(worker.namespace, frozenset()):
            self._wake.set()

    async def missing(self, namespace: str, task_types: Iterable[str]) -> list[str]:
        """Return the types that no live worker offers, by name. Raise HintsUnavailableError."""
        asked = set(task_types)
        return sorted(asked - await self._board.offered(namespace)) if asked else []

    async def run(self) -> None:
        """Keep the board up to date until cancelled."""
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
            self._written = {}
            if not self._down:
                log.warning(
                    "task_types_not_written",
                    error=str(error),
                    next_step="they are written when Redis answers",
                )
            self._down = True
        else:
            self._written = {namespace: frozenset(types) for namespace, types in offers.items()}
            self._down = False
