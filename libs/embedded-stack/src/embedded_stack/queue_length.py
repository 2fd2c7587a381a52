"""The number of jobs that wait for the workers, as `redis-cli LLEN workflow:execution:queue` shows it."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from workflow_contract.names import DEFAULT_QUEUE
from workflow_contract.queues import queue_key

_TIMEOUT_SECONDS = 2.0


class QueueLength:
    """A connection to Redis that reads the number of waiting jobs in all `queues` together."""

    def __init__(self, url: str, queues: Sequence[str] = ()) -> None:
        self._keys = [queue_key(queue) for queue in queues or (DEFAULT_QUEUE,)]
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    async def read(self) -> int | None:
        """Return the number of waiting jobs, or None if Redis does not answer. May be repeated."""
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
