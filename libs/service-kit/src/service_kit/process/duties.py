"""Duties: the endless loops of a service. One that fails begins again, and one that is late is noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Watched:
    late_after_seconds: float
    last_round: float


class Duties:
    """The duties whose rounds are watched: each reports the end of each round."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._duties: dict[str, _Watched] = {}

    def add(self, name: str, late_after_seconds: float) -> Callable[[], None]:
        """Watch a duty from now on; return the function that it must call after each round.

        If a duty of that name is watched already, start its time again.
        """
        duty = _Watched(late_after_seconds, self._clock.monotonic())
        self._duties[name] = duty

        def round_done() -> None:
            duty.last_round = self._clock.monotonic()

        return round_done

    async def check(self) -> None:
        """Raise DutyLateError, which names every late duty, if there is one. This is a health check."""
        now = self._clock.monotonic()
        late = [
            f"{name}: no round for {now - duty.last_round:.0f} s, {duty.late_after_seconds:g} s allowed"
            for name, duty in self._duties.items()
            if now - duty.last_round > duty.late_after_seconds
        ]
        if late:
            raise DutyLateError("; ".join(late))
