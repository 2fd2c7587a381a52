"""Leadership of duties, as a key that expires: `workflow:lock:<duty>`, STRING + PX, holding the leader's
token.

What the lock promises: usually one process at a time does the duty. What it does not: that there are never
two. A leader that was stopped for longer than the time to live, or a Redis that lost the key, gives a
second one; so every duty must be correct with two leaders, and fencing numbers come from Postgres.

A leader trusts its lock from the moment BEFORE it asked for it, for the time to live, by its own monotonic
clock. So it stops trusting it before anybody else can get it.
"""

import asyncio
import contextlib
import secrets
from types import TracebackType

import structlog
from redis.asyncio import Redis
from service_kit.tools.clock import Clock, SystemClock

from execution_orchestrator.adapters.redis.scripts import Script
from execution_orchestrator.application.ports.queue import HintsUnavailableError

DEFAULT_TTL_SECONDS = 10.0
RENEWALS_PER_TTL = 3

log = structlog.get_logger(__name__)


def lock_key(duty: str) -> str:
    """The key of a duty's lock."""
    return f"workflow:lock:{duty}"


class RedisLock:
    """Implements the port `Lock` for one duty; unrenewed it lasts `ttl_seconds`."""

    def __init__(
        self,
        client: Redis,
        duty: str,
        *,
        ttl_seconds: float = DEFAULT_TTL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._duty = duty
        self._key = lock_key(duty)
        self._token = secrets.token_hex(16)
        self._ttl_seconds = ttl_seconds
        self._clock = clock or SystemClock()
        self._trusted_until = float("-inf")
        self._acquire = Script(client, "lock_acquire")
        self._renew = Script(client, "lock_renew")
        self._release = Script(client, "lock_release")
        self._renewal: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether it is certainly ours still, by this process's own monotonic clock."""
        return self._clock.monotonic() < self._trusted_until

    async def try_acquire(self) -> bool:
        """Take it, or prolong it where it is ours. Raises HintsUnavailableError. May be repeated."""
        return await self._ask(self._acquire)

    async def renew(self) -> bool:
        """Prolong it by its time to live; False where it was lost. Raises HintsUnavailableError."""
        return await self._ask(self._renew)

    async def release(self) -> None:
        """Give it up where it is ours. Raises nothing: an unreachable lock expires by itself."""
        self._trusted_until = float("-inf")
        with contextlib.suppress(HintsUnavailableError):
            await self._release((self._key,), (self._token,))

    async def __aenter__(self) -> bool:
        """Try once, and while it is held renew it in the background: `async with lock as held`."""
        held = await self.try_acquire()
        if held:
            self._renewal = asyncio.create_task(self._keep_renewing())
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop renewing, and release."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
            self._renewal = None
            await self.release()

    async def _ask(self, script: Script) -> bool:
        asked = self._clock.monotonic()
        is_ours = bool(await script((self._key,), (self._token, int(self._ttl_seconds * 1000))))
        self._trusted_until = asked + self._ttl_seconds if is_ours else float("-inf")
        return is_ours

    async def _keep_renewing(self) -> None:
        while self.held:
            await self._clock.sleep(self._ttl_seconds / RENEWALS_PER_TTL)
            with contextlib.suppress(HintsUnavailableError):  # tried again, as long as the trust lasts
                await self.renew()
        log.warning("lock_lost", duty=self._duty)
