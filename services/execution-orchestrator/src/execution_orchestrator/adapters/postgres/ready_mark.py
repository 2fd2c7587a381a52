"""The time at which a sweep of the READY jobs begins.

Every claim leaves an index entry of a job that is not READY any more. A long snapshot keeps all of them, and
a sweep from the beginning would read them once a second. So a sweep begins LAG before the oldest job of the
last sweep. A job of a transaction that committed even later is found by a sweep from the beginning, every 30
s.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAG: Final = timedelta(seconds=10)
FULL_SWEEP_SECONDS: Final = 30.0


class ReadyMark:
    """The time before which the last sweep found no READY job."""

    def __init__(self) -> None:
        self._mark = EARLIEST
        self._full_at = float("-inf")

    def begin(self, at: float, *, full: bool) -> datetime:
        """Return the time from which a sweep looks, at the monotonic time `at`. `full` asks for the
        beginning.
        """
        if full or at >= self._full_at:
            self._full_at = at + FULL_SWEEP_SECONDS
            self._mark = EARLIEST
        return self._mark

    def saw(self, oldest: datetime) -> None:
        """Record that no job of the sweep was READY before `oldest`."""
        self._mark = oldest - LAG
