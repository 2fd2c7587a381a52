"""The workers that are connected to any replica, page by page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service_kit.rpc.paging import MAX_PAGE_BYTES
from workflowsystem.execution.v1 import worker_pb2 as pb

from execution_orchestrator.application.ports.worker_board import BoardEntry, WorkerBoard
from execution_orchestrator.application.workers.worker_facts import merged

MAX_LOOK: Final = 2_000
"""Workers that one page looks at to find those that the filter chooses."""
READ_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class WorkerFilter:
    """Which workers to list; an empty text chooses all."""

    namespace: str
    task_type: str = ""
    queue: str = ""
    worker_id: str = ""

    def may_choose(self, entry: BoardEntry) -> bool:
        """Return False if what the board says of the worker, without its facts, rules it out."""
        key = entry.key
        return key.namespace == self.namespace and self.worker_id in ("", key.worker_id)

    def chooses(self, worker: pb.ConnectedWorker) -> bool:
        """Return whether the worker offers the task type and serves the queue."""
        return (not self.task_type or self.task_type in worker.task_types) and (
            not self.queue or self.queue in worker.queues
        )


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """Workers in the order in which they connected, and after which session the next page begins."""

    workers: list[pb.ConnectedWorker]
    next_after: UUID | None


class WorkerList:
    """Reads what all replicas wrote."""

    def __init__(
        self, board: WorkerBoard, *, max_look: int = MAX_LOOK, max_page_bytes: int = MAX_PAGE_BYTES
    ) -> None:
        self._max_look = max_look
        self._max_page_bytes = max_page_bytes
        self._board = board

    async def page(self, where: WorkerFilter, *, limit: int, after: UUID | None) -> WorkerPage:
        """Return up to `limit` workers, with at most 3 MiB but at least one.

        The page may be shorter and have a next one. May be repeated. Raise HintsUnavailableError.
        """
        entries = [entry for entry in await self._board.entries() if where.may_choose(entry)]
        entries.sort(key=lambda entry: entry.key.session_id)
        if after is not None:
            entries = [entry for entry in entries if entry.key.session_id > str(after)]
        looked, workers, size = 0, list[pb.ConnectedWorker](), 0
        for some in _parts(entries[: self._max_look]):
            for entry, facts in zip(some, await self._board.read(some), strict=True):
                if facts is not None:
                    worker = merged(facts, entry.replica, entry.update_time)
                    if where.chooses(worker):
                        size += worker.ByteSize()
                        if workers and size > self._max_page_bytes:
                            return _page(workers, entries, looked)
                        workers.append(worker)
                looked += 1
                if len(workers) == limit:
                    return _page(workers, entries, looked)
        return _page(workers, entries, looked)


def _parts(entries: list[BoardEntry]) -> Iterator[list[BoardEntry]]:
    for first in range(0, len(entries), READ_AT_ONCE):
        yield entries[first : first + READ_AT_ONCE]


def _page(workers: list[pb.ConnectedWorker], entries: list[BoardEntry], looked: int) -> WorkerPage:
    """Return the page that ends after the entries that were looked at."""
    if looked >= len(entries):
        return WorkerPage(workers, None)
    return WorkerPage(workers, UUID(entries[looked - 1].key.session_id))
