"""The queue in Redis: a list whose length users read, and sorted sets that hints are taken from.

    workflow:execution:queue                  LIST    the queue `default`; LLEN is the number of jobs waiting
    workflow:execution:queue:<name>           LIST    a named queue
    {workflow:execution:queue}:members        ZSET    every hint of the queue, by ms of TIME when it was added
    {workflow:execution:queue}:kinds          ZSET    the kinds that have hints, by the score of their first
    {workflow:execution:queue}:kind:<kind>    ZSET    the hints of one kind in the order in which they leave
    {workflow:execution:queue}:generation     STRING  missing = Redis was wiped: rebuild from Postgres
    workflow:execution:queues                 SET     the names of all queues

A kind is `namespace|task_type`. The braces put the companion keys into the hash slot of their list, since
Redis hashes a key without braces as a whole. Only the scripts in lua/ write these keys; each describes them
at its head.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from workflow_contract.queues import queue_key

from execution_orchestrator.adapters.redis.scripts import Script, hints_unavailable
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.queue import MAX_POP, QueuedHint, QueueStats

QUEUES_KEY = "workflow:execution:queues"
MAX_PUSH = 1_000
"""Hints in one call of a script, so that Redis is never busy with one call for more than a few ms."""
MAX_RESIZE = 5_000
"""The most elements that one call of a script adds to the list or removes from it."""
FORMAT = "2:"
"""The begin of a generation's mark. A queue with another mark was filled by a release that kept one list for
all kinds. The sweep rebuilds it, as after a wipe, which adds its hints to the orders of their kinds.
"""


def members_key(queue: str) -> str:
    """Return the key of the sorted set of all hints of a queue."""
    return f"{{{queue_key(queue)}}}:members"


def kinds_key(queue: str) -> str:
    """Return the key of the sorted set of the kinds that have hints."""
    return f"{{{queue_key(queue)}}}:kinds"


def order_key(queue: str, namespace: str, task_type: str) -> str:
    """Return the key of the sorted set that the hints of one kind are taken from."""
    return f"{{{queue_key(queue)}}}:kind:{_kind(namespace, task_type)}"


def generation_key(queue: str) -> str:
    """Return the key whose absence says that Redis was wiped."""
    return f"{{{queue_key(queue)}}}:generation"


class RedisQueue:
    """Implements the port `Queue`. The client must not repeat commands on its own."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._push = Script(client, "push", functions="kinds")
        self._pop = Script(client, "pop", functions="kinds")
        self._put_back = Script(client, "put_back", functions="kinds")
        self._remove = Script(client, "remove", functions="kinds")
        self._restore_members = Script(client, "restore_members")
        self._resize_list = Script(client, "resize_list")
        self._registered: set[str] = set()
        self._lives: dict[str, object] = {}  # by queue: its generation at the last mark

    async def push(self, hints: Sequence[Hint]) -> int:
        by_queue: dict[str, list[str]] = defaultdict(list)
        for hint in hints:
            by_queue[hint.queue].append(hint.encode())
        if len(by_queue) == 1:  # the usual case, without a task of the event loop
            return await self._push_to(*by_queue.popitem())
        return sum(await asyncio.gather(*(self._push_to(*entry) for entry in by_queue.items())))

    async def _push_to(self, queue: str, texts: list[str]) -> int:
        if queue not in self._registered:
            await self._register(queue)
        keys = _keys(queue)
        added = 0
        for first in range(0, len(texts), MAX_PUSH):
            added += await self._push(keys, texts[first : first + MAX_PUSH])
        return added

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[QueuedHint]:
        if limit <= 0 or not accepts:
            return []
        kinds = "\n".join(_kind(*each) for each in accepts)
        taken = await self._pop(_keys(queue), (min(limit, MAX_POP), kinds))
        found, _ = _decoded(queue, zip(taken[::2], taken[1::2], strict=True))
        return found

    async def put_back(self, taken: Sequence[QueuedHint]) -> None:
        by_queue: dict[str, list[QueuedHint]] = defaultdict(list)
        for each in taken:
            by_queue[each.hint.queue].append(each)
        for queue, entries in by_queue.items():
            await self._put_back(_keys(queue), _scored(entries))

    async def length(self, queue: str) -> int:
        with hints_unavailable():
            return int(await self._client.llen(queue_key(queue)))

    async def queues(self) -> list[str]:
        with hints_unavailable():
            return sorted(_text(name) for name in await self._client.smembers(QUEUES_KEY))

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with hints_unavailable():
            async with self._client.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.llen(queue_key(queue))
                    pipeline.zrange(members_key(queue), 0, 0, withscores=True)
                pipeline.time()
                *answers, (seconds, microseconds) = await pipeline.execute()
        now = seconds + microseconds / 1e6
        return [
            _stats_of(queue, length, oldest, now)
            for queue, length, oldest in zip(queues, answers[::2], answers[1::2], strict=True)
        ]

    async def page(self, queue: str, cursor: int) -> tuple[int, list[QueuedHint]]:
        with hints_unavailable():
            following, entries = await self._client.zscan(members_key(queue), cursor, count=MAX_PUSH)
        hints, others = _decoded(queue, entries)
        if others:  # somebody added them by hand: no worker will ever take them
            await self._remove(_keys(queue), [part for other in others for part in other])
        return int(following), hints

    async def remove(self, queue: str, seen: Sequence[QueuedHint]) -> int:
        removed = 0
        for first in range(0, len(seen), MAX_PUSH):
            removed += await self._remove(_keys(queue), _scored(seen[first : first + MAX_PUSH]))
        return removed

    async def heal(self, queue: str) -> bool:
        list_, members, kinds = _keys(queue)
        with hints_unavailable():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.llen(list_)
                pipeline.zcard(members)
                pipeline.exists(kinds)
                length, known, has_kinds = await pipeline.execute()
        if length == known and (known or not has_kinds):
            return False
        await self._heal_members(queue)
        while await self._resize_list((list_, members), (MAX_RESIZE,)):
            pass
        return True

    async def _heal_members(self, queue: str) -> None:
        with hints_unavailable():
            kinds = [name async for name, _ in self._client.zscan_iter(kinds_key(queue), count=MAX_PUSH)]
        for kind in kinds:
            keys = (members_key(queue), order_key(queue, *_text(kind).split("|", 1)))
            cursor = await self._restore_members(keys, (0, MAX_PUSH))
            while int(cursor):
                cursor = await self._restore_members(keys, (_text(cursor), MAX_PUSH))

    async def mark_generation(self, queue: str) -> bool:
        key, mark = generation_key(queue), f"{FORMAT}{secrets.token_hex(8)}"
        with hints_unavailable():
            reply: Any = await self._client.set(key, mark, nx=True, get=True)
            before = "" if reply is None else _text(reply)
            is_ours = not before.startswith(FORMAT)
            if before and is_ours:
                await self._client.set(key, mark)
        life = mark if is_ours else before
        if self._lives.get(queue) != life:  # wiped: the names of the queues are gone too
            self._lives[queue] = life
            self._registered.clear()
            await self._register(queue)
        return is_ours

    async def _register(self, queue: str) -> None:
        with hints_unavailable():
            await self._client.sadd(QUEUES_KEY, queue)
        self._registered.add(queue)


def _keys(queue: str) -> tuple[str, str, str]:
    return queue_key(queue), members_key(queue), kinds_key(queue)


def _stats_of(queue: str, length: int, oldest: Sequence[Any], now: float) -> QueueStats:
    if not length or not oldest:
        return QueueStats(queue, length, None)
    return QueueStats(queue, length, max(0.0, now - oldest[0][1] / 1e3))


def _kind(namespace: str, task_type: str) -> str:
    return f"{namespace}|{task_type}"


def _scored(entries: Sequence[QueuedHint]) -> list[str]:
    """Return the score and the text of each entry; `repr` keeps every digit of a score."""
    return [text for each in entries for text in (repr(each.score), each.hint.encode())]


def _decoded(
    queue: str, entries: Iterable[Sequence[Any]]
) -> tuple[list[QueuedHint], list[tuple[str, bytes]]]:
    """Return the hints among the entries, and the score and the text of each entry that is not a hint."""
    hints, others = [], []
    for text, score in entries:
        try:
            hints.append(QueuedHint(Hint.decode(text.decode(), queue), float(score)))
        except ValueError:
            others.append((repr(float(score)), text))
    return hints, others


def _text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode()
