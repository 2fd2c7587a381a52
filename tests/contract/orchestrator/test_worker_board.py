"""The contract of the board of connected workers, held by the fake and by Redis."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from execution_orchestrator.adapters.redis.worker_board import (
    REPLICAS_KEPT,
    REPLICAS_KEY,
    RedisWorkerBoard,
    identity_key,
    state_key,
)
from execution_orchestrator.application.ports.worker_board import (
    BoardEntry,
    BoardKey,
    WorkerBoard,
    WorkerFacts,
)
from redis.asyncio import Redis
from service_kit.data.redis import connect
from service_kit.process.connection_string import RedisAddress
from testkit import eventually

from tests.fakes.worker_board import FakeWorkerBoard

Make = Callable[[], WorkerBoard]
LONG, SHORT = 30.0, 0.2
NOW = datetime(2030, 1, 1, 12, 0, 0, 5000, tzinfo=UTC)
ONE = BoardKey("default", "01900000-0000-7000-8000-000000000001", "worker/1")
TWO = BoardKey("team-a", "01900000-0000-7000-8000-000000000002", "wörker\n2")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(RedisAddress.parse(redis_url), client_name="test")
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Boards of different replicas."""
    if request.param == "fake":
        board = FakeWorkerBoard()
        return lambda: board
    client = request.getfixturevalue("client")
    return lambda: RedisWorkerBoard(client)


async def test_what_one_replica_writes_every_replica_reads(make: Make) -> None:
    await make().write("a", {ONE: WorkerFacts(b"who", b"how")}, (), NOW, LONG)
    later = NOW + timedelta(seconds=1)
    await make().write("host/b", {TWO: WorkerFacts(b"\x00\xff", b"")}, (), later, LONG)
    entries = await make().entries()
    assert sorted(entries) == [BoardEntry("a", NOW, ONE), BoardEntry("host/b", later, TWO)]
    by_replica = sorted(entries, reverse=True)

    assert await make().read(by_replica) == [(b"\x00\xff", b""), (b"who", b"how")]


async def test_a_state_is_replaced_and_its_identity_stays(make: Make) -> None:
    board = make()
    await board.write("a", {ONE: WorkerFacts(b"who", b"idle")}, (), NOW, LONG)
    await board.write("a", {ONE: WorkerFacts(None, b"busy")}, (), NOW, LONG)

    assert await board.read(await board.entries()) == [(b"who", b"busy")]


async def test_the_time_of_the_last_write_holds_for_all_entries_of_a_replica(make: Make) -> None:
    board = make()
    await board.write("a", {ONE: WorkerFacts(b"who", b"how")}, (), NOW, LONG)
    later = NOW + timedelta(seconds=2.5)
    await board.write("a", {}, (), later, LONG)

    assert await board.entries() == [BoardEntry("a", later, ONE)]


async def test_an_entry_that_is_gone_is_neither_listed_nor_read(make: Make) -> None:
    board = make()
    await board.write("a", {key: WorkerFacts(b"who", b"how") for key in (ONE, TWO)}, (), NOW, LONG)
    entries = sorted(await board.entries())
    await board.write("a", {}, [ONE], NOW, LONG)

    assert await board.entries() == [BoardEntry("a", NOW, TWO)]
    assert await board.read(entries) == [None, (b"who", b"how")]


async def test_the_board_says_whether_it_still_knew_the_replica(make: Make) -> None:
    board = make()
    assert not await board.write("a", {}, (), NOW, LONG)
    assert await board.write("a", {ONE: WorkerFacts(b"who", b"how")}, (), NOW, LONG)
    assert not await board.write("b", {}, (), NOW, LONG)
    await board.forget("a")

    assert not await board.write("a", {}, (), NOW, LONG)
    assert await board.entries() == []


async def test_a_replica_that_writes_nothing_more_leaves_with_all_its_entries(make: Make) -> None:
    board = make()
    await board.write("dead", {ONE: WorkerFacts(b"who", b"how")}, (), NOW, SHORT)
    await board.write("alive", {TWO: WorkerFacts(b"who", b"how")}, (), NOW, LONG)

    async def left() -> bool:
        return await board.entries() == [BoardEntry("alive", NOW, TWO)]

    await eventually(left)
    assert await board.read([BoardEntry("dead", NOW, ONE)]) == [None]
    assert not await board.write("dead", {}, (), NOW, LONG)


async def test_nothing_is_read_of_no_entries(make: Make) -> None:
    assert await make().read([]) == []
    assert await make().entries() == []


async def test_what_is_forgotten_takes_no_room_in_redis(client: Redis) -> None:
    board = RedisWorkerBoard(client)
    await board.write("old", {ONE: WorkerFacts(b"who", b"how")}, (), NOW, SHORT)
    assert 0 < await client.pttl(identity_key("old")) <= SHORT * 1000

    async def gone() -> bool:
        return await client.exists(identity_key("old"), state_key("old")) == 0

    await eventually(gone)
    await board.write("new", {}, (), NOW + REPLICAS_KEPT + timedelta(seconds=1), LONG)
    assert await client.zrange(REPLICAS_KEY, 0, -1) == [b"new"]
