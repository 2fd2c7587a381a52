"""Locks of duties, as keys that expire: `workflow:lock:<duty>`, STRING + PX, holding the owner's token.

A lock saves work: usually one replica at a time does the duty. It does not promise that there are never two.
A replica that stood still for longer than the time to live, or a Redis that lost the key, gives a second
one. So every duty must be correct with two replicas at once.
"""

import contextlib
import secrets

from redis.asyncio import Redis

from execution_orchestrator.adapters.redis.scripts import Script
from execution_orchestrator.application.ports.hints import HintsUnavailableError

DEFAULT_TTL_SECONDS = 10.0


def lock_key(duty: str) -> str:
    """Return the key of a duty's lock."""
    return f"workflow:lock:{duty}"


class RedisLock:
    """Implements the port `Lock` for one duty. It expires `ttl_seconds` after the last `try_acquire`."""

    def __init__(self, client: Redis, duty: str, *, ttl_seconds: float = DEFAULT_TTL_SECONDS) -> None:
        self._keys = (lock_key(duty),)
        self._token = secrets.token_hex(16)
        self._ttl_ms = int(ttl_seconds * 1000)
        self._acquire = Script(client, "lock_acquire")
        self._release = Script(client, "lock_release")

    async def try_acquire(self) -> bool:
        return bool(await self._acquire(self._keys, (self._token, self._ttl_ms)))

    async def release(self) -> None:
        with contextlib.suppress(HintsUnavailableError):
            await self._release(self._keys, (self._token,))
