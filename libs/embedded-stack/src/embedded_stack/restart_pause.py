"""The pause before a process that ended starts again."""

from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 5.0
"""A process that ran this long has started well; most faults end it sooner."""


@dataclass(frozen=True, slots=True)
class RestartPause:
    """A pause that doubles each time a process ends at once, and shrinks after it ran for a while.

    Each second beyond SETTLED_SECONDS takes a second off. So a service that is killed every ten seconds
    always starts again after half a second.
    """

    seconds: float = 0.0

    def after(self, ran_seconds: float) -> "RestartPause":
        """Return the pause before the next start of a process that ran for `ran_seconds`."""
        left = max(0.0, self.seconds - max(0.0, ran_seconds - SETTLED_SECONDS))
        return RestartPause(min(MAX_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * left)))
