"""Redis: a client that repeats no command, and a subscriber that reports when it may have missed messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from service_kit.process.connection_string import RedisAddress
from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock, SystemClock
from service_kit.tools.keepalive import tcp_options

CONNECT_TIMEOUT_SECONDS = 1.0
COMMAND_TIMEOUT_SECONDS = 2.0
HEALTH_CHECK_SECONDS = 15
MAX_CONNECTIONS = 64
SILENCE_SECONDS = 3.0
"""After this long without a message a subscriber sends a ping."""

MAX_UNANSWERED_PINGS = 2
"""With SILENCE_SECONDS, a subscriber gives up a silent connection after at most 9 s."""

# Everything that can go wrong between a service and its Redis. It loses hints, never work.
REDIS_ERRORS = (RedisError, OSError)

log = structlog.get_logger(__name__)


def connect(
    address: RedisAddress,
    *,
    client_name: str,
    command_timeout: float = COMMAND_TIMEOUT_SECONDS,
    max_connections: int = MAX_CONNECTIONS,
) -> Redis:
    """Return a client that connects at its first command; its answers are bytes. Close it with `aclose()`.

    The client retries no command, because a push or pop that may have happened must not be repeated. For
    blocking commands use a separate client; its `command_timeout` (seconds) must be longer than they block.
    """
    return Redis.from_url(
        address.url,
        decode_responses=False,
        **_keepalive(address),
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=command_timeout,
        health_check_interval=HEALTH_CHECK_SECONDS,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
        client_name=client_name,
    )


def _keepalive(address: RedisAddress) -> dict[str, Any]:
    if address.url.startswith("unix:"):
        return {}
    return {"socket_keepalive": True, "socket_keepalive_options": tcp_options()}


async def check(client: Redis) -> None:
    """Raise RedisError or OSError if Redis does not answer a PING. This is a health check."""
    await client.ping()


class Subscriber:
    """Delivers the messages of `channels` to `on_message(channel, data)`, and reconnects automatically.

    If a connection fails, log the error and open the next connection after a back-off. Redis forgets messages
    that are published while no subscriber listens. So call `on_gap` after each subscription, also the first:
    the listener then looks at the facts instead. Both callbacks should return quickly. If one raises, log its
    error and go on with the next message.
    """

    def __init__(
        self,
        client: Redis,
        channels: Sequence[str],
        *,
        on_message: Callable[[str, bytes], Awaitable[None]],
        on_gap: Callable[[], Awaitable[None]],
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._client = client
        self._silence_seconds = silence_seconds
        self._channels = tuple(channels)
        self._on_message = on_message
        self._on_gap = on_gap
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(first_seconds=0.05, max_seconds=2.0)
        self.connected = False

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            pubsub = self._client.pubsub()
            try:
                await self._listen(pubsub)
            except REDIS_ERRORS as error:
                if self.connected:
                    log.warning("subscription_lost", channels=self._channels, error=repr(error))
            except Exception as error:  # if a server or a client breaks the protocol, listen on
                log.error("subscriber_failed", channels=self._channels, exc_info=error)
            finally:
                self.connected = False
                await _close(pubsub)
            await self._clock.sleep(self._backoff.next())

    async def _listen(self, pubsub: PubSub) -> None:
        await pubsub.subscribe(*self._channels)
        pending = len(self._channels)
        unanswered = 0
        while True:
            message = await pubsub.get_message(timeout=self._silence_seconds)
            if message is None:
                await self._probe(pubsub, pending, unanswered)
                unanswered += 1
                continue
            unanswered = 0  # every message shows that the server is there, not only the answer to a ping
            if message["type"] == "subscribe":
                pending -= 1
                if pending == 0:
                    await self._subscribed()
            elif message["type"] == "message":
                await self._deliver(message["channel"].decode(), message["data"])

    async def _subscribed(self) -> None:
        self.connected = True
        self._backoff.reset()
        log.info("subscribed", channels=self._channels)
        await self._guarded(self._on_gap())

    async def _probe(self, pubsub: PubSub, pending: int, unanswered: int) -> None:
        """Send a ping after a silence. Raise RedisConnectionError if the last ones were not answered."""
        within = f"within {self._silence_seconds:g} s"
        if pending > 0:
            raise RedisConnectionError(f"not subscribed {within}")
        if unanswered >= MAX_UNANSWERED_PINGS:
            raise RedisConnectionError(f"no answer to {unanswered} pings, each {within}")
        await pubsub.ping()

    async def _deliver(self, channel: str, data: bytes) -> None:
        await self._guarded(self._on_message(channel, data))

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            log.error("subscriber_failed", channels=self._channels, exc_info=error)


async def _close(pubsub: PubSub) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await pubsub.aclose()  # type: ignore[no-untyped-call]
    except Exception as error:
        log.debug("subscription_not_closed", error=repr(error))
