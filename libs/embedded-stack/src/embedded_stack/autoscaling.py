"""How many workers a queue needs: the rule of the embedded supervisor, the same as the chart's."""

from dataclasses import dataclass, replace

COOLDOWN_SECONDS = 60.0
"""How long the queue must have been empty before workers are taken away."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Grows at once with the queue, and shrinks to the minimum only after the queue has stayed empty."""

    minimum: int
    maximum: int
    jobs_per_worker: int
    empty_since: float | None = None
    """Monotonic seconds."""

    def decide(self, workers: int, queue_length: int, now: float) -> tuple[int, "Autoscaler"]:
        """Return the number of workers there should be, and the scaler for the next observation.

        `workers` is their number now; `now` is in monotonic seconds.
        """
        if queue_length > 0:
            wanted = max(self.minimum, min(self.maximum, -(-queue_length // self.jobs_per_worker)))
            return max(workers, wanted), replace(self, empty_since=None)
        since = now if self.empty_since is None else self.empty_since
        cooled_down = now - since >= COOLDOWN_SECONDS
        return max(self.minimum, 0 if cooled_down else workers), replace(self, empty_since=since)
