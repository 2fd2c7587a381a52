"""The primary's time, between two looks at it."""

from datetime import UTC, datetime, timedelta

from service_kit.tools.clock import Clock


class DatabaseClock:
    """The time that Postgres told last, carried on by this process's monotonic clock.

    Good to a few milliseconds. What is due is never decided by it: that is asked of Postgres itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told = clock.now()
        self._at = clock.monotonic()

    def sync(self, now: datetime) -> None:
        """Postgres has said what time it is."""
        self._told = now.astimezone(UTC)
        self._at = self._clock.monotonic()

    def now(self) -> datetime:
        """What time it is for Postgres, by the best that is known here."""
        return self._told + timedelta(seconds=self._clock.monotonic() - self._at)
