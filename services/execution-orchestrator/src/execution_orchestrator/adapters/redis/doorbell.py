"""The doorbell: pub/sub on `workflow:execution:events`, one message for a whole batch of commits.

A message is UTF-8 lines, one for each execution that changed: `namespace execution_id last_sequence status`.
A fifth word `stop` says that attempts in flight may have to stop. Later releases may add words at the end of
a line.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from redis.asyncio import Redis
from service_kit.data.redis import Subscriber
from service_kit.tools.clock import Clock
from workflow_contract.doorbell import CHANNEL, Ring

from execution_orchestrator.adapters.redis.scripts import hints_unavailable

MAX_UNHEARD = 1_024

log = structlog.get_logger(__name__)


class RedisDoorbell:
    """Implements the port `Doorbell`."""

    def __init__(self, client: Redis, *, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock
        self._listening = False
        self._unheard: Counter[bytes] = Counter()  # messages of this process that come back to it

    async def publish(self, rings: Sequence[Ring]) -> None:
        """Send all of them as one message. Raises HintsUnavailableError. May be repeated."""
        if not rings:
            return
        message = "\n".join(ring.encode() for ring in rings).encode()
        if self._listening:
            self._expect(message)
        with hints_unavailable():
            await self._client.publish(CHANNEL, message)

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:

        async def heard(_: str, message: bytes) -> None:
            if not self._is_our_own(message) and (rings := _decode(message)):
                on_rings(rings)

        async def subscribed() -> None:
            self._unheard.clear()
            self._listening = True
            on_gap()

        subscriber = Subscriber(
            self._client, [CHANNEL], on_message=heard, on_gap=subscribed, clock=self._clock
        )
        try:
            await subscriber.run()
        finally:
            self._listening = False

    def _expect(self, message: bytes) -> None:
        """Remember a message, to skip it when it comes back. To read it would be much of a lone replica's
        work.
        """
        if len(self._unheard) >= MAX_UNHEARD:  # they never came back: read some twice rather than skip others
            self._unheard.clear()
        self._unheard[message] += 1

    def _is_our_own(self, message: bytes) -> bool:
        if message not in self._unheard:
            return False
        self._unheard[message] -= 1
        if not self._unheard[message]:
            del self._unheard[message]
        return True


def _decode(message: bytes) -> list[Ring]:
    rings = []
    for line in message.decode(errors="replace").split("\n"):
        try:
            rings.append(Ring.decode(line))
        except ValueError:
            log.warning("ring_not_understood", line=line[:200])
    return rings
