"""The client repeats nothing automatically; the subscriber comes back and reports the gap."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from embedded_stack.valkey import Valkey
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from service_kit.data import redis as redis_kit
from service_kit.data.redis import REDIS_ERRORS, Subscriber, check, connect
from service_kit.process.connection_string import RedisAddress
from service_kit.tools.backoff import Backoff
from service_kit.tools.keepalive import tcp_options
from testkit.eventually import eventually

from tests.integration.orchestrator.tcp_proxy import proxy_to

CHANNEL = "greetings"


class Listener:
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_message(self, channel: str, data: bytes) -> None:
        self.told.append(f"{channel}: {data.decode()}")
        if data == b"poison":
            raise ValueError("cannot digest this")

    async def on_gap(self) -> None:
        self.told.append("gap")


@pytest.fixture
async def client(redis_server: Valkey) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_server.url), client_name="kit-test")
    yield client
    await client.aclose()


@contextlib.asynccontextmanager
async def subscribed(client: Redis, listener: Listener, **options: Any) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(
        client,
        [CHANNEL],
        on_message=listener.on_message,
        on_gap=listener.on_gap,
        backoff=Backoff(first_seconds=0.01, max_seconds=0.05),
        **options,
    )
    task = asyncio.create_task(subscriber.run())
    try:
        yield subscriber
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_answers_are_bytes_and_the_client_has_its_name(client: Redis) -> None:
    await client.set("k", "v")
    assert await client.get("k") == b"v"
    assert await client.client_getname() == "kit-test"
    await check(client)


async def test_a_command_to_a_dead_server_fails_once_and_works_again_after_its_return(
    client: Redis, redis_server: Valkey
) -> None:
    await client.ping()
    redis_server.kill()
    with pytest.raises(REDIS_ERRORS):
        await client.lpush("queue", "job")
    redis_server.start()

    async def answers() -> None:
        with contextlib.suppress(*REDIS_ERRORS):
            assert await client.llen("queue") == 0
            return
        raise AssertionError("not back yet")

    await eventually(answers)


async def test_messages_are_delivered_after_the_first_subscribing_was_told_as_a_gap(client: Redis) -> None:
    listener = Listener()
    async with subscribed(client, listener):
        await eventually(lambda: listener.told == ["gap"])
        await client.publish(CHANNEL, "hello")
        await eventually(lambda: listener.told == ["gap", f"{CHANNEL}: hello"])


async def test_a_lost_connection_is_taken_up_again_and_told_as_a_gap(
    client: Redis, redis_server: Valkey
) -> None:
    listener = Listener()
    async with subscribed(client, listener) as subscriber:
        await eventually(lambda: subscriber.connected)
        redis_server.kill()
        await eventually(lambda: not subscriber.connected)
        redis_server.start()
        await eventually(lambda: listener.told == ["gap", "gap"])
        await client.publish(CHANNEL, "again")
        await eventually(lambda: listener.told[-1] == f"{CHANNEL}: again")


async def test_a_listener_that_fails_gets_the_next_message(client: Redis) -> None:
    listener = Listener()
    async with subscribed(client, listener) as subscriber:
        await eventually(lambda: subscriber.connected)
        await client.publish(CHANNEL, "poison")
        await client.publish(CHANNEL, "food")
        await eventually(lambda: listener.told[-1] == f"{CHANNEL}: food")


async def test_a_subscription_whose_server_falls_silent_is_taken_up_again(redis_server: Valkey) -> None:
    port = urlsplit(redis_server.url).port
    async with proxy_to(lambda: asyncio.open_connection("127.0.0.1", port)) as proxy:
        client = connect(RedisAddress.parse(f"127.0.0.1:{proxy.port}"), client_name="kit-test")
        listener = Listener()
        async with subscribed(client, listener, silence_seconds=0.1) as subscriber:
            await eventually(lambda: subscriber.connected)
            assert proxy.swallow() > 0
            await eventually(lambda: not subscriber.connected, timeout=30)
            await proxy.mend()
            await eventually(lambda: listener.told == ["gap", "gap"], timeout=30)

        await client.aclose()


async def test_a_quiet_subscription_stays_as_it_is(client: Redis) -> None:
    listener = Listener()
    async with subscribed(client, listener, silence_seconds=0.05) as subscriber:
        await eventually(lambda: subscriber.connected)
        pings = (await client.info("commandstats")).get("cmdstat_ping", {}).get("calls", 0)

        async def pinged() -> None:
            stats = await client.info("commandstats")
            assert stats["cmdstat_ping"]["calls"] >= pings + 2 * redis_kit.MAX_UNANSWERED_PINGS

        await eventually(pinged, timeout=30)
        assert listener.told == ["gap"]


async def test_a_connection_is_kept_alive(client: Redis) -> None:
    await client.ping()
    (connection,) = client.connection_pool._available_connections
    sock = connection._writer.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in tcp_options()}

    assert options == tcp_options()
    assert options[socket.TCP_USER_TIMEOUT] == 10_000


async def test_a_subscriber_listens_again_after_an_error_that_is_not_redis_own(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an answer that the parser cannot read: redis-py raises ValueError or UnicodeDecodeError."""
    get_message = PubSub.get_message
    failures: list[str] = []

    async def fail_once(self: PubSub, *args: Any, **keywords: Any) -> Any:
        message = await get_message(self, *args, **keywords)
        if message is not None and message["data"] == b"unreadable":
            failures.append("unreadable")
            raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "not an answer of Redis")
        return message

    monkeypatch.setattr(PubSub, "get_message", fail_once)
    listener = Listener()
    async with subscribed(client, listener) as subscriber:
        await eventually(lambda: subscriber.connected)
        await client.publish(CHANNEL, "unreadable")
        await eventually(lambda: listener.told == ["gap", "gap"])
        await client.publish(CHANNEL, "food")
        await eventually(lambda: listener.told[-1] == f"{CHANNEL}: food")
    assert failures == ["unreadable"]
