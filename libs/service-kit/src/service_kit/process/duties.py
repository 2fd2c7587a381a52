"""Whether the duties of a service, its endless loops, still turn: each reports the end of each round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service_kit.tools.clock import Clock, SystemClock


class DutyLateError(Exception):
    """A duty has not finished a round for longer than it may; the text names it."""


@dataclass(slots=True)
class _Duty:
    late_after_seconds: float
    last_round: float


class Duties:
    """The duties whose rounds are watched."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._duties: dict[str, _Duty] = {}

    def add(self, name: str, late_after_seconds: float) -> Callable[[], None]:
        """Watch a duty from now on; return what it must call after each round.

        A duty that adds itself again under the same name begins anew.
        """
        duty = _Duty(late_after_seconds, self._clock.monotonic())
        self._duties[name] = duty

        def round_done() -> None:
            duty.last_round = self._clock.monotonic()

        return round_done

    async def check(self) -> None:
        """For health checks: raise DutyLateError, which names every duty that is late."""
        now = self._clock.monotonic()
        late = [
            f"{name}: no round for {now - duty.last_round:.0f} s, {duty.late_after_seconds:g} s allowed"
            for name, duty in self._duties.items()
            if now - duty.last_round > duty.late_after_seconds
        ]
        if late:
            raise DutyLateError("; ".join(late))
