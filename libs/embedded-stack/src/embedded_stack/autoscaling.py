"""The number of workers that a queue needs: the embedded supervisor has the same rule as the chart."""

from dataclasses import dataclass, replace

COOLDOWN_SECONDS = 60.0
"""How long the queue must be empty before workers are stopped."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Grows at once with the queue, and shrinks to the minimum only after the queue has stayed empty."""

    minimum: int
    maximum: int
    jobs_per_worker: int
    empty_since: float | None = None
    """Since when the queue has been empty, in monotonic seconds."""

    def decide(self, workers: int, queue_length: int, now: float) -> tuple[int, "Autoscaler"]:
        """Return the wanted number of workers, and the scaler for the next observation.

        `workers` is the current number; `now` is in monotonic seconds.
        """
        if queue_length > 0:
            wanted = max(self.minimum, min(self.maximum, -(-queue_length // self.jobs_per_worker)))
            return max(workers, wanted), replace(self, empty_since=None)
        since = now if self.empty_since is None else self.empty_since
        cooled_down = now - since >= COOLDOWN_SECONDS
        return max(self.minimum, 0 if cooled_down else workers), replace(self, empty_since=since)
