"""Duties: the endless loops of a service. One that fails begins again, and one that is late is noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock, SystemClock

Duty = Callable[[], Awaitable[None]]

HEALTHY_SECONDS: Final = 30.0
"""After a duty ran for this long, its next failure counts as the first one."""

SYSTEM_CLOCK: Final = SystemClock()

log = structlog.get_logger(__name__)


async def always(name: str, duty: Duty, clock: Clock = SYSTEM_CLOCK, backoff: Backoff | None = None) -> None:
    """Run a duty until cancelled, and begin it again if it fails or returns.

    The wait before it begins again grows with each failure, up to 5 s. It is short again after the duty ran
    for HEALTHY_SECONDS.
    """
    backoff = backoff or Backoff(first_seconds=0.1, max_seconds=5.0)
    while True:
        began = clock.monotonic()
        try:
            await duty()
        except Exception as error:
            log.error("duty_failed", duty=name, exc_info=error)
        if clock.monotonic() - began >= HEALTHY_SECONDS:
            backoff.reset()
        await clock.sleep(backoff.next())


class DutyLateError(Exception):
    """A duty has not finished a round within the time that it may take; the text names the duty."""


class Rounds:
    """The rounds of one duty, which calls `done` at the end of each."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._last = clock.monotonic()

    def done(self) -> None:
        """Note that a round has ended."""
        self._last = self._clock.monotonic()

    @property
    def age_seconds(self) -> float:
        """How long ago the last round ended, or the duty was made."""
        return self._clock.monotonic() - self._last


class Duties:
    """The duties whose rounds are watched."""

    def __init__(self) -> None:
        self._watched: list[tuple[str, Rounds, float]] = []

    def watch(self, name: str, rounds: Rounds, late_after_seconds: float) -> None:
        """Watch a duty from now on."""
        self._watched.append((name, rounds, late_after_seconds))

    async def check(self) -> None:
        """Raise DutyLateError, which names every late duty, if there is one. This is a health check."""
        late = [
            f"{name}: no round for {age:.0f} s, {limit:g} s allowed"
            for name, rounds, limit in self._watched
            if (age := rounds.age_seconds) > limit
        ]
        if late:
            raise DutyLateError("; ".join(late))
