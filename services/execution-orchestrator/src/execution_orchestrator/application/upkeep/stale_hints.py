"""The removal of hints of tasks that no worker may claim any more, and the repair of damaged queues.

A task can fail, be cancelled or be paused while its hint waits. A worker that pops such a hint claims
nothing. But if no worker serves its kind, nobody pops it, and the number of waiting jobs, which users and
autoscalers read, would never fall again.

If the task becomes READY again between the question and the removal, its new hint may be removed too. The
next walk of the sweep pushes it again.
"""

import structlog
from prometheus_client import Counter

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.queue import Queue, QueuedHint
from execution_orchestrator.application.ports.store import RunKey, Store
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

MAX_PAGES = 10
"""The most pages (of about 1,000 hints) of one queue that one look reads."""

removed = Counter("workflow_stale_jobs_removed_total", "Hints of jobs that can not run any more.")


class StaleHints:
    """A walk through the hints of all queues, a few pages at each look."""

    def __init__(self, store: Store, queue: Queue) -> None:
        self._store = store
        self._queue = queue
        self._cursors: dict[str, int] = {}

    async def look(self) -> None:
        """Look at the next pages of every queue. Raise the errors of store and queue. May be repeated."""
        for queue in await self._queue.queues():
            if await self._queue.heal(queue):
                log.warning(
                    "queue_healed", queue=queue, next_step="find out who edits the queue's keys in Redis"
                )
            for _ in range(MAX_PAGES):
                if not await self._page(queue):
                    break

    async def _page(self, queue: str) -> bool:
        """Look at one page. Return whether to continue at once, because much of it was stale."""
        cursor, page = await self._queue.page(queue, self._cursors.get(queue, 0))
        stale = await self._not_ready(page)
        if stale:
            removed.inc(await self._queue.remove(queue, stale))
        self._cursors[queue] = cursor
        return bool(cursor) and 2 * len(stale) > len(page)

    async def _not_ready(self, page: list[QueuedHint]) -> list[QueuedHint]:
        if not page:
            return []
        ready = await self._store.still_ready([_run_key(each.hint) for each in page])
        return [each for each in page if _run_key(each.hint) not in ready]


def _run_key(hint: Hint) -> RunKey:
    return hint.execution_id, TaskKey(hint.task_id, hint.item)
