"""Hints read from Postgres: the dispatcher feeds workers with them while Redis does not answer.

The feed walks through all READY tasks, oldest first, one page at a time. It keeps some hints of each kind
that a session of this replica accepts. An index for each kind would make a page cheaper, but every task would
pay for that index, all the time. Without it, a page may hold nothing that is accepted here. So a waiting task
is found after one walk at most: that is about a second for 20,000 waiting tasks, and 50 s for a million.

Other replicas walk too, and may try to claim the same task. Postgres gives it to one of them. That is rare,
because each replica begins at another place of a page.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from execution_orchestrator.application.ports.hints import Hint, Kind
from execution_orchestrator.application.ports.store import RunKey, Store
from execution_orchestrator.application.workers.drained_kinds import DrainedKinds
from execution_orchestrator.domain.task import TaskKey

PAGE = 1_000
PAGE_SECONDS = 0.05
"""The least time from one page to the next, so that Postgres is not busy with this."""
WALK_SECONDS = 0.5
"""How long to wait after the end of a walk."""
MAX_WAITING = 256
"""Hints of one kind in memory. The next walk finds the others."""


@dataclass(frozen=True, slots=True)
class FeedPace:
    """How many tasks a page has, and the pauses after a page and after a walk."""

    page: int = PAGE
    page_seconds: float = PAGE_SECONDS
    walk_seconds: float = WALK_SECONDS


USUAL_PACE = FeedPace()


class StoreFeed:
    """Hints of READY tasks, read from Postgres."""

    def __init__(self, store: Store, choose: Callable[[int], int], pace: FeedPace = USUAL_PACE) -> None:
        """`choose(n)` returns a number below n: where in a page of n hints this replica begins."""
        self._store = store
        self._pace = pace
        self._choose = choose
        self._waiting: dict[Kind, dict[Hint, None]] = defaultdict(
            dict
        )  # in the order in which they are taken
        self.due_time = 0.0  # of the loop's clock: when to read the next page
        self._found: set[Kind] = set()  # in this walk
        self._began = 0  # the moment, as `DrainedKinds` counts, when this walk began
        self._after: tuple[datetime, RunKey] | None = None

    def take(self, kinds: AbstractSet[Kind], limit: int) -> list[Hint]:
        """Return up to `limit` hints of these kinds from the pages read so far."""
        taken: list[Hint] = []
        for kind in self._waiting.keys() & kinds:
            waiting = self._waiting[kind]
            first = list(islice(waiting, limit - len(taken)))
            taken += first
            for hint in first:
                del waiting[hint]
        return taken

    async def read(self, kinds: AbstractSet[Kind], drained: DrainedKinds) -> None:
        """Read the next page when it is due, and keep what is of `kinds`.

        At the end of a walk, the kinds that it did not find are drained. Raises StoreUnavailableError and
        RetryTransactionError; the call may be repeated.
        """
        now = asyncio.get_running_loop().time()
        if now < self.due_time:
            return
        self.due_time = now + self._pace.walk_seconds
        if self._after is None:
            self._began = drained.moment
        page = await self._store.ready_hints(self._after, timedelta(), self._pace.page)
        begin = self._choose(len(page)) if page else 0
        for _, hint in page[begin:] + page[:begin]:
            self._keep(hint, kinds)
        if len(page) == self._pace.page:
            time, last = page[-1]
            self._after = (time, (last.execution_id, TaskKey(last.task_id, last.item)))
            self.due_time = now + self._pace.page_seconds
        else:
            drained.add(kinds - self._found, self._began)
            self._found.clear()
            self._after = None

    def _keep(self, hint: Hint, kinds: AbstractSet[Kind]) -> None:
        kind = (hint.namespace, hint.task_type, hint.queue)
        if kind in kinds:
            self._found.add(kind)
            if len(self._waiting[kind]) < MAX_WAITING:
                self._waiting[kind][hint] = None
