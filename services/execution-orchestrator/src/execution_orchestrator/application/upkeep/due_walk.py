"""The walk of a replica along the timers. It does not read old entries again, and misses no late one.

An index keeps the entries of timers that are over until no snapshot can see them, which may take hours. A
walk from the beginning would read all of them, five times a second. So a walk begins at a mark, LAG before
the end of the last complete walk. LAG covers transactions that commit late. A row that comes even later, with
an old time, is found by a walk from the beginning, about every FULL_WALK_SECONDS.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Final, NamedTuple

from execution_orchestrator.application.ports.upkeep_store import EARLIEST, DuePage, DueRow, Place

LAG: Final = timedelta(seconds=10)
FULL_WALK_SECONDS: Final = 30.0
MAX_PAUSES: Final = 20_000
"""Rows that a replica remembers because their wake changed nothing. It forgets the oldest first."""

FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 300.0

Key = tuple[object, ...]


def key_of(row: DueRow) -> Key:
    """Return the key of the row, without its time."""
    return row.place[1:]


class DueWalk:
    """The place where the next look for due rows begins."""

    def __init__(
        self,
        uniform: Callable[[float, float], float] = random.uniform,
        full_walk_seconds: float = FULL_WALK_SECONDS,
    ) -> None:
        self._uniform = uniform
        self._full_walk_seconds = full_walk_seconds
        self._place: Place | None = None  # None between two walks
        self._began: datetime | None = None  # the time of the first look of the present walk
        self._mark: datetime | None = None
        self._full_at = float("-inf")

    def begin(self, at: float, *, from_mark: bool) -> Place:
        """Return the place after which to look at the monotonic time `at`.

        Without `from_mark` a new walk begins at the beginning: rows that not every replica may wake can lie
        before the mark.
        """
        if self._place is None:
            is_full = self._mark is None or not from_mark or at >= self._full_at
            if is_full:
                # Replicas must not walk in step: a row in no replica's share now is in one at another moment.
                self._full_at = at + self._uniform(0.7, 1.3) * self._full_walk_seconds
            self._place = Place(EARLIEST if is_full or self._mark is None else self._mark)
        return self._place

    def saw(self, page: DuePage, limit: int) -> bool:
        """Continue after the page. Return whether more may be due now."""
        if self._began is None:
            self._began = page.now
        if len(page.rows) >= limit:
            self._place = max(row.place for row in page.rows)
            return True
        went_back = page.now < self._began  # another server with another clock
        self._mark = None if went_back else self._began - LAG
        self._place = self._began = None
        return False

    def restart(self) -> None:
        """Walk from the beginning again."""
        self._place = self._began = self._mark = None


class _Pause(NamedTuple):
    row: DueRow
    tries: int
    until: float
    again: bool


class Pauses:
    """The rows whose wake failed or changed nothing, and how long nobody wakes them again.

    The pause doubles with every try, from 1 s to 5 min. If the time of a row changes, that is another timer,
    and the pause does not cover it.
    """

    def __init__(self, first_pause_seconds: float = FIRST_PAUSE_SECONDS) -> None:
        self._first_pause_seconds = first_pause_seconds
        self._pauses: dict[Key, _Pause] = {}
        self._order = count()
        self._due: list[tuple[float, int, Key]] = []

    def __len__(self) -> int:
        return len(self._pauses)

    def note(self, row: DueRow, at: float, *, again: bool, grows: bool = True) -> None:
        """Begin a pause of the row at the monotonic time `at`. After it, wake the row `again`.

        The pause stays at 1 s unless it `grows`.
        """
        key = key_of(row)
        before = self._pauses.pop(key, None)
        is_repeat = grows and before is not None and before.row.place == row.place
        tries = before.tries + 1 if before is not None and is_repeat else 1
        until = at + min(MAX_PAUSE_SECONDS, self._first_pause_seconds * 2.0 ** min(tries - 1, 20))
        self._pauses[key] = _Pause(row, tries, until, again)
        heapq.heappush(self._due, (until, next(self._order), key))
        if len(self._pauses) > MAX_PAUSES:
            del self._pauses[next(iter(self._pauses))]

    def forget(self, row: DueRow) -> None:
        """Remove the row, because its wake succeeded."""
        self._pauses.pop(key_of(row), None)

    def clear(self) -> None:
        """Remove all rows."""
        self._pauses.clear()
        self._due.clear()

    def covers(self, row: DueRow, at: float) -> bool:
        """Return whether the row has a pause now."""
        pause = self._pauses.get(key_of(row))
        return pause is not None and pause.row.place == row.place and at < pause.until

    def over(self, at: float, limit: int) -> Iterator[DueRow]:
        """Return up to `limit` rows to wake again, because their pause is over."""
        while limit > 0 and self._due and self._due[0][0] <= at:
            until, _, key = heapq.heappop(self._due)
            pause = self._pauses.get(key)
            if pause is not None and pause.until == until and pause.again:
                limit -= 1
                yield pause.row
