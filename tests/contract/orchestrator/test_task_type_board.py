"""The contract of the board of task types, held by the fake and by Redis."""

from collections.abc import AsyncIterator, Callable

import pytest
from execution_orchestrator.adapters.redis.task_type_board import RedisTaskTypeBoard, task_types_key
from execution_orchestrator.application.ports.task_type_board import TaskTypeBoard
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually

from tests.fakes.task_type_board import FakeTaskTypeBoard

Make = Callable[[], TaskTypeBoard]
LONG, SHORT = 30.0, 0.2


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Boards of different replicas."""
    if request.param == "fake":
        board = FakeTaskTypeBoard()
        return lambda: board
    client = request.getfixturevalue("client")
    return lambda: RedisTaskTypeBoard(client)


async def test_what_one_replica_offers_every_replica_sees(make: Make) -> None:
    await make().offer("default", {"noop", "orders.charge"}, LONG)
    await make().offer("default", {"noop", "mail.send"}, LONG)

    assert await make().offered("default") == {"noop", "orders.charge", "mail.send"}


async def test_namespaces_have_boards_of_their_own(make: Make) -> None:
    await make().offer("default", {"noop"}, LONG)
    await make().offer("team-a", {"orders.charge"}, LONG)

    assert await make().offered("default") == {"noop"}
    assert await make().offered("team-a") == {"orders.charge"}
    assert await make().offered("team-b") == frozenset()


async def test_an_offer_that_is_not_repeated_is_forgotten_and_a_repeated_one_stays(make: Make) -> None:
    board = make()
    await board.offer("default", {"noop", "mail.send"}, SHORT)
    await board.offer("default", {"noop"}, LONG)

    async def forgotten() -> bool:
        return await board.offered("default") == {"noop"}

    assert await board.offered("default") >= {"noop"}
    await eventually(forgotten)


async def test_a_shorter_offer_takes_nothing_from_a_longer_one(make: Make) -> None:
    await make().offer("default", {"noop"}, LONG)
    await make().offer("default", {"noop", "mail.send"}, SHORT)

    async def forgotten() -> bool:
        return "mail.send" not in await make().offered("default")

    await eventually(forgotten)
    assert await make().offered("default") == {"noop"}


async def test_no_types_are_no_offer(make: Make) -> None:
    await make().offer("default", set(), LONG)
    assert await make().offered("default") == frozenset()


async def test_more_types_than_one_call_takes_are_all_offered(make: Make) -> None:
    many = {f"handler{number}" for number in range(2_500)}
    await make().offer("default", many, LONG)

    assert await make().offered("default") == many


async def test_what_is_forgotten_takes_no_room_in_redis(client: Redis) -> None:
    board = RedisTaskTypeBoard(client)
    await board.offer("default", {"old"}, SHORT)
    await board.offer("team-a", {"old"}, SHORT)
    await board.offer("default", {"new"}, LONG)

    async def gone() -> bool:
        await board.offer("default", {"new"}, LONG)
        keys = [await client.zcard(task_types_key(namespace)) for namespace in ("default", "team-a")]
        return keys == [1, 0]

    await eventually(gone)
    assert await client.exists(task_types_key("team-a")) == 0
    assert 0 < await client.pttl(task_types_key("default")) <= LONG * 1000
