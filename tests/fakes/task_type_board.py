"""A board of task types in memory. It passes the same contract suite as the board in Redis."""

from collections.abc import Collection

from execution_orchestrator.application.ports.hints import HintsUnavailableError
from service_kit.tools.clock import Clock, SystemClock


class FakeTaskTypeBoard:
    """The board that every replica of a test shares. While it is `down`, Redis does not answer."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._trusted_until: dict[tuple[str, str], float] = {}
        self.offers = 0
        self.reads = 0
        self.down = False

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        self.offers += 1
        if self.down:
            raise HintsUnavailableError("Redis does not answer")
        until = self._clock.monotonic() + trust_seconds
        for key in ((namespace, task_type) for task_type in task_types):
            self._trusted_until[key] = max(until, self._trusted_until.get(key, until))

    async def offered(self, namespace: str) -> frozenset[str]:
        self.reads += 1
        now = self._clock.monotonic()
        return frozenset(
            task_type
            for (offered_in, task_type), until in self._trusted_until.items()
            if offered_in == namespace and now < until
        )
