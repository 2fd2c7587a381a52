"""The rule for retries: whether another attempt follows a failed one, and when."""

from dataclasses import dataclass
from datetime import timedelta
from zlib import crc32

from execution_orchestrator.domain.failure import NON_RETRYABLE, Failure
from execution_orchestrator.domain.limits import DEFAULT_RETRY_ATTEMPTS


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The wait before retry n is `min(initial * coefficient^(n-1), maximum) * (1 +- jitter)`."""

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta = timedelta(seconds=60)
    maximum_attempts: int = 1 + DEFAULT_RETRY_ATTEMPTS  # including the first
    jitter: float = 0.2
    non_retryable_error_types: frozenset[str] = frozenset()
    maximum_lost_attempts: int = 5

    def refusal(self, failure: Failure, failed_attempts: int) -> str:
        """Return why no retry follows the nth failed attempt, or "" if one does."""
        if failure.non_retryable or failure.type in self.non_retryable_error_types:
            return NON_RETRYABLE
        return "attempts exhausted" if failed_attempts >= self.maximum_attempts else ""

    def delay(self, failed_attempts: int, seed: str) -> timedelta:
        """Return the wait after the nth failed attempt.

        The jitter comes from the seed. So it differs from task to task, but is the same if the decision is
        repeated.
        """
        try:
            grown = self.initial_interval * self.backoff_coefficient ** (failed_attempts - 1)
        except OverflowError:
            grown = self.maximum_interval
        chance = crc32(seed.encode()) / 0xFFFFFFFF  # 0 to 1
        return min(grown, self.maximum_interval) * (1 + self.jitter * (2 * chance - 1))
