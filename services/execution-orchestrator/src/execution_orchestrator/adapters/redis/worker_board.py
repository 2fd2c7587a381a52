"""The connected workers, as every replica writes them. The braces keep all keys in one hash slot.

    {workflow:worker:connected}                       ZSET  the replicas, by the time of their last write, in
    ms {workflow:worker:connected}:<replica>:identity    HASH  the facts of each worker that never change
    {workflow:worker:connected}:<replica>:state       HASH  their state; the field "" has the time

A field is `<namespace>/<session id>/<worker id>`. The hashes of a replica expire together if it stops
writing. If Redis loses the board, every replica writes all of its workers again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from redis.asyncio import Redis

from execution_orchestrator.adapters.redis.scripts import hints_unavailable
from execution_orchestrator.application.ports.worker_board import BoardEntry, BoardKey, WorkerFacts

REPLICAS_KEY = "{workflow:worker:connected}"
TIME_FIELD = b""
REPLICAS_KEPT = timedelta(minutes=10)
"""A replica that wrote nothing for this long leaves the set of replicas. Its entries expired long before."""


def identity_key(replica: str) -> str:
    """Return the key of the facts of a replica's workers that never change."""
    return f"{REPLICAS_KEY}:{replica}:identity"


def state_key(replica: str) -> str:
    """Return the key of the states of a replica's workers."""
    return f"{REPLICAS_KEY}:{replica}:state"


class RedisWorkerBoard:
    """Implements the port `WorkerBoard`."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def write(
        self,
        replica: str,
        written: Mapping[BoardKey, WorkerFacts],
        gone: Collection[BoardKey],
        now: datetime,
        trust_seconds: float,
    ) -> bool:
        now_ms, trust_ms = int(now.timestamp() * 1000), int(trust_seconds * 1000)
        identity, state = identity_key(replica), state_key(replica)
        states: dict[Any, Any] = {_field(key): facts.state for key, facts in written.items()}
        new: dict[Any, Any] = {
            _field(key): facts.identity for key, facts in written.items() if facts.identity is not None
        }
        left = [_field(key) for key in gone]
        with hints_unavailable():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.hset(state, TIME_FIELD, str(now_ms))
                if states:
                    pipeline.hset(state, mapping=states)
                if new:
                    pipeline.hset(identity, mapping=new)
                if left:
                    pipeline.hdel(state, *left)
                    pipeline.hdel(identity, *left)
                pipeline.pexpire(state, trust_ms)
                pipeline.pexpire(identity, trust_ms)
                pipeline.zadd(REPLICAS_KEY, {replica: now_ms})
                pipeline.zremrangebyscore(
                    REPLICAS_KEY, "-inf", now_ms - REPLICAS_KEPT // timedelta(milliseconds=1)
                )
                created, *_ = await pipeline.execute()
        return not created

    async def forget(self, replica: str) -> None:
        with hints_unavailable():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.delete(identity_key(replica), state_key(replica))
                pipeline.zrem(REPLICAS_KEY, replica)
                await pipeline.execute()

    async def entries(self) -> list[BoardEntry]:
        with hints_unavailable():
            names: Any = await self._client.zrange(REPLICAS_KEY, 0, -1)
            replicas = [name.decode() for name in names]
            async with self._client.pipeline(transaction=False) as pipeline:
                for replica in replicas:
                    pipeline.hget(state_key(replica), TIME_FIELD)
                    pipeline.hkeys(state_key(replica))
                answers = await pipeline.execute()
        found: list[BoardEntry] = []
        for replica, written, fields in zip(replicas, answers[::2], answers[1::2], strict=True):
            if written is not None:
                time = datetime.fromtimestamp(int(written) / 1000, UTC)
                found += (BoardEntry(replica, time, _key(field)) for field in fields if field != TIME_FIELD)
        return found

    async def read(self, entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        by_replica = sorted(set(entries), key=attrgetter("replica"))
        parts: dict[BoardEntry, tuple[bytes, bytes] | None] = {}
        with hints_unavailable():
            async with self._client.pipeline(transaction=False) as pipeline:
                for replica, group in groupby(by_replica, key=attrgetter("replica")):
                    fields = [_field(entry.key) for entry in group]
                    pipeline.hmget(identity_key(replica), fields)
                    pipeline.hmget(state_key(replica), fields)
                answers = await pipeline.execute()
        identities, states = _flat(answers[::2]), _flat(answers[1::2])
        for entry, identity, state in zip(by_replica, identities, states, strict=True):
            parts[entry] = None if identity is None or state is None else (identity, state)
        return [parts[entry] for entry in entries]


def _field(key: BoardKey) -> bytes:
    return "/".join(key).encode()


def _key(field: bytes) -> BoardKey:
    return BoardKey(*field.decode().split("/", 2))


def _flat(answers: Iterable[Sequence[bytes | None]]) -> list[bytes | None]:
    return [value for answer in answers for value in answer]
