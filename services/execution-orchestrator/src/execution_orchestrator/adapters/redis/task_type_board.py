"""The task types that live workers offer: `workflow:worker:task-types:<namespace>`, ZSET.

The score of a type is the time until which its offer holds, in ms of TIME. If Redis loses the board, the next
refresh of every orchestrator restores the types of its own workers.
"""

from collections.abc import Collection

from redis.asyncio import Redis

from execution_orchestrator.adapters.redis.scripts import Script

KEY = "workflow:worker:task-types"
MAX_OFFER = 1_000
"""Types in one script call."""


def task_types_key(namespace: str) -> str:
    """Return the key of a namespace's types."""
    return f"{KEY}:{namespace}"


class RedisTaskTypeBoard:
    """Implements the port `TaskTypeBoard`."""

    def __init__(self, client: Redis) -> None:
        self._offer = Script(client, "offer")
        self._offered = Script(client, "offered")

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        ordered = sorted(task_types)
        trust_ms = int(trust_seconds * 1000)
        for first in range(0, len(ordered), MAX_OFFER):
            await self._offer((task_types_key(namespace),), (trust_ms, *ordered[first : first + MAX_OFFER]))

    async def offered(self, namespace: str) -> frozenset[str]:
        found = await self._offered((task_types_key(namespace),), ())
        return frozenset(each if isinstance(each, str) else each.decode() for each in found)
