"""How many jobs wait for the workers, as `redis-cli LLEN workflow:execution:queue` says it."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

QUEUE_KEY = "workflow:execution:queue"
DEFAULT_QUEUE = "default"

_TIMEOUT_SECONDS = 2.0


def key_of(queue: str) -> str:
    """Return the list that holds an element for each waiting job of a queue."""
    return QUEUE_KEY if queue == DEFAULT_QUEUE else f"{QUEUE_KEY}:{queue}"


class QueueLength:
    """A connection to the queues' Redis, for reading how many jobs wait in all of `queues` together."""

    def __init__(self, url: str, queues: Sequence[str] = ()) -> None:
        self._keys = [key_of(queue) for queue in queues or (DEFAULT_QUEUE,)]
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    async def read(self) -> int | None:
        """Return the number of jobs waiting, or None while Redis does not answer. May be repeated."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key in self._keys:
                    pipeline.llen(key)
                return sum(int(length) for length in await pipeline.execute())
        except (RedisError, OSError, TimeoutError):
            return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()
