"""The task types that live workers offer: `workflow:worker:task-types:<namespace>`, ZSET, the types by the
time until which their offer is trusted (ms of TIME).

Losing Redis loses nothing: the next refresh of every orchestrator brings back what its own workers offer.
"""

from collections.abc import Collection

from redis.asyncio import Redis

from execution_orchestrator.adapters.redis.scripts import Script

KEY = "workflow:worker:task-types"
MAX_OFFER = 1_000
"""Types in one script call."""


def task_types_key(namespace: str) -> str:
    """The key of a namespace's types."""
    return f"{KEY}:{namespace}"


class RedisTaskTypeBoard:
    """Implements the port `TaskTypeBoard`."""

    def __init__(self, client: Redis) -> None:
        self._offer = Script(client, "offer")
        self._offered = Script(client, "offered")

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        """Live workers offer these, for so long; see the port."""
        ordered = sorted(task_types)
        trust_ms = int(trust_seconds * 1000)
        for first in range(0, len(ordered), MAX_OFFER):
            await self._offer((task_types_key(namespace),), (trust_ms, *ordered[first : first + MAX_OFFER]))

    async def offered(self, namespace: str) -> frozenset[str]:
        """What is offered at this moment; see the port."""
        found = await self._offered((task_types_key(namespace),), ())
        return frozenset(each if isinstance(each, str) else each.decode() for each in found)
