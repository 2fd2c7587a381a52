"""The clock of the primary, estimated between two readings."""

from datetime import UTC, datetime, timedelta

from service_kit.tools.clock import Clock


class DatabaseClock:
    """The last time that Postgres returned, continued by the monotonic clock of this process.

    It is exact to a few milliseconds. It never decides whether a timer is due: Postgres decides that.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read = clock.now()
        self._at = clock.monotonic()

    def sync(self, now: datetime) -> None:
        """Set the clock to a time that Postgres has just returned."""
        self._read = now.astimezone(UTC)
        self._at = self._clock.monotonic()

    def now(self) -> datetime:
        """Return the primary's current time, estimated from the last reading."""
        return self._read + timedelta(seconds=self._clock.monotonic() - self._at)
