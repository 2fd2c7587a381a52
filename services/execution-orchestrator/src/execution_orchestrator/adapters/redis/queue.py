"""The queue in Redis: a list for each queue, with a sorted set beside it that keeps doubles out.

    workflow:execution:queue                  LIST    the queue `default`; LLEN is the number of jobs waiting
    workflow:execution:queue:<name>           LIST    a named queue
    {workflow:execution:queue}:members        ZSET    what is in the list, by ms of TIME
    {workflow:execution:queue}:generation     STRING  missing = Redis was wiped: rebuild from Postgres
    workflow:execution:queues                 SET     the names of all queues

The braces put the companions into the hash slot of their list, since Redis hashes a key without braces whole.
All namespaces share the lists; a hint carries its namespace.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence

from redis.asyncio import Redis

from execution_orchestrator.adapters.redis.scripts import Script, hints_unavailable
from execution_orchestrator.application.ports_queue import MAX_POP, MAX_SKIPPED, QueueStats
from execution_orchestrator.domain.hints import DEFAULT_QUEUE, Hint

LIST_KEY = "workflow:execution:queue"
QUEUES_KEY = "workflow:execution:queues"
MAX_PUSH = 1_000
"""Hints in one script call, so that Redis is never busy with one for more than a few ms."""


def list_key(queue: str) -> str:
    """The key of a queue's list."""
    return LIST_KEY if queue == DEFAULT_QUEUE else f"{LIST_KEY}:{queue}"


def members_key(queue: str) -> str:
    """The key of the sorted set beside it."""
    return f"{{{list_key(queue)}}}:members"


def generation_key(queue: str) -> str:
    """The key whose absence says that Redis was wiped."""
    return f"{{{list_key(queue)}}}:generation"


class RedisQueue:
    """Implements the port `Queue`. The client must not repeat commands by itself."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._push = Script(client, "push")
        self._pop = Script(client, "pop")
        self._registered: set[str] = set()
        self._lives: dict[str, object] = {}  # queue: its generation when it was marked last

    async def push(self, hints: Sequence[Hint]) -> int:
        """Put those at the tail that their queue does not hold yet; says how many. May be repeated."""
        by_queue: dict[str, list[str]] = defaultdict(list)
        for hint in hints:
            by_queue[hint.queue].append(hint.encode())
        if len(by_queue) == 1:  # spares the usual case a task of the event loop
            return await self._push_to(*by_queue.popitem())
        return sum(await asyncio.gather(*(self._push_to(*entry) for entry in by_queue.items())))

    async def _push_to(self, queue: str, texts: list[str]) -> int:
        if queue not in self._registered:
            await self._register(queue)
        keys = (list_key(queue), members_key(queue))
        added = 0
        for first in range(0, len(texts), MAX_PUSH):
            added += await self._push(keys, texts[first : first + MAX_PUSH])
        return added

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[Hint]:
        """Take up to `limit` hints that the caller accepts, the oldest first; see the port."""
        if limit <= 0 or not accepts:
            return []
        keys = (list_key(queue), members_key(queue))
        accepted = [f"{namespace}|{task_type}" for namespace, task_type in accepts]
        taken = await self._pop(keys, (min(limit, MAX_POP), MAX_SKIPPED, *accepted))
        return [Hint.decode(text.decode(), queue) for text in taken]

    async def length(self, queue: str) -> int:
        """How many hints wait."""
        with hints_unavailable():
            return int(await self._client.llen(list_key(queue)))

    async def oldest_age(self, queue: str) -> float | None:
        """How many seconds the oldest hint has waited; None where the queue is empty."""
        return (await self._stats(queue)).oldest_age_seconds

    async def queues(self) -> list[str]:
        """The names of the queues that hold or held a hint since Redis was last wiped, sorted."""
        with hints_unavailable():
            return sorted(_text(name) for name in await self._client.smembers(QUEUES_KEY))

    async def stats(self, queue: str | None = None) -> list[QueueStats]:
        """What waits in `queue`, or in each of `queues()`."""
        names = await self.queues() if queue is None else [queue]
        return [await self._stats(name) for name in names]

    async def _stats(self, queue: str) -> QueueStats:
        with hints_unavailable():
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.llen(list_key(queue))
                pipeline.zrange(members_key(queue), 0, 0, withscores=True)
                pipeline.time()
                length, oldest, (seconds, microseconds) = await pipeline.execute()
        if not length or not oldest:
            return QueueStats(queue, length, None)
        return QueueStats(queue, length, max(0.0, seconds + microseconds / 1e6 - oldest[0][1] / 1e3))

    async def generation(self, queue: str) -> str | None:
        """The mark of the queue's present life; None where Redis was wiped since `mark_generation`."""
        with hints_unavailable():
            mark = await self._client.get(generation_key(queue))
        return None if mark is None else _text(mark)

    async def mark_generation(self, queue: str) -> bool:
        """Mark the queue where it has no mark: True where the caller did, and so must rebuild it now."""
        mark = secrets.token_hex(8).encode()
        with hints_unavailable():
            before = await self._client.set(generation_key(queue), mark, nx=True, get=True)
        life = before or mark
        if self._lives.get(queue) != life:  # wiped, by whomever: the names of the queues are gone too
            self._lives[queue] = life
            self._registered.clear()
            await self._register(queue)
        return before is None

    async def _register(self, queue: str) -> None:
        with hints_unavailable():
            await self._client.sadd(QUEUES_KEY, queue)
        self._registered.add(queue)


def _text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode()
