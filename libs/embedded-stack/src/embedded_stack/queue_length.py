"""How many jobs wait, as `redis-cli LLEN workflow:execution:queue` says it."""

from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

QUEUE_KEY = "workflow:execution:queue"

_TIMEOUT_SECONDS = 2.0


class QueueLength:
    """A connection to the queue's Redis, for reading its length."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    async def read(self) -> int | None:
        """Return the number of jobs waiting, or None while Redis does not answer. May be repeated."""
        try:
            return int(await self._redis.llen(QUEUE_KEY))
        except (RedisError, OSError, TimeoutError):
            return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()
