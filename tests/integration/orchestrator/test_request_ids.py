"""A request id is remembered for 24 hours. Then it is forgotten, in small pages, by one replica."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.store import PostgresStore
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.application.ports.store import RequestId, RetryTransactionError
from service_kit.tools.ids import new_uuid7
from testkit import eventually

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.service import Service, refusal, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
PATIENCE = 60.0
AGE = "UPDATE request_ids SET create_time = create_time - $1::interval WHERE request_id = ANY($2::text[])"
DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


async def remembered(pool: asyncpg.Pool) -> set[str]:
    return {row["request_id"] for row in await pool.fetch("SELECT request_id FROM request_ids")}


async def fill(pool: asyncpg.Pool, *request_ids: str) -> None:
    values = ["default"] * len(request_ids), list(request_ids), [b"x"] * len(request_ids)
    await pool.execute(sql.RESERVE_REQUEST_IDS, *values, [new_uuid7() for _ in request_ids])


async def test_a_repeat_is_answered_with_the_first_execution_for_24_hours_and_starts_another_one_after(
    service: Service, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    catalog.publish(ONE_TASK)
    first = await service.start({"n": 1}, request_id="order-1")
    await pool.execute(AGE, DAY - MINUTE, ["order-1"])
    assert await service.orchestrator.expiry.forget() == 0
    assert (await service.start({"n": 1}, request_id="order-1")).execution_id == first.execution_id
    assert (await refusal(service.start({"n": 2}, request_id="order-1"))).reason == "REQUEST_ID_REUSED"
    await pool.execute(AGE, 2 * MINUTE, ["order-1"])
    assert await service.orchestrator.expiry.forget() == 1

    second = await service.start({"n": 2}, request_id="order-1")

    assert second.execution_id != first.execution_id
    assert (await service.start({"n": 2}, request_id="order-1")).execution_id == second.execution_id


async def test_the_oldest_ids_are_forgotten_page_by_page(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresUpkeepStore(pool)
    await fill(pool, *"abcdefgh")
    for number, request_id in enumerate("gfedcba"):
        await pool.execute(AGE, DAY + number * MINUTE, [request_id])
    left = []
    while await store.forget_request_ids(DAY, 3):
        left.append("".join(sorted(await remembered(pool))))

    assert left == ["defgh", "gh", "h"]


async def test_two_replicas_that_forget_at_once_do_not_wait_for_each_other(pool: asyncpg.Pool) -> None:
    store = PostgresUpkeepStore(pool)
    await fill(pool, *(f"id-{number}" for number in range(100)))
    await pool.execute("UPDATE request_ids SET create_time = create_time - $1::interval", DAY)
    counts = await asyncio.gather(*(store.forget_request_ids(DAY, 60) for _ in range(2)))

    assert sum(counts) + await store.forget_request_ids(DAY, 60) == 100


@tuned(expiry_seconds=0.05)
async def test_the_first_replica_forgets_again_and_again(
    launch: Launch, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [await launch(), await launch()]
    forgot = [0, 0]
    for place, service in enumerate(services):
        forget = service.orchestrator.expiry.forget

        async def counted(place: int = place, forget: Any = forget) -> int:
            forgot[place] += 1
            return int(await forget())

        monkeypatch.setattr(service.orchestrator.expiry, "forget", counted)

    for request_id in ("a", "b"):
        await fill(pool, request_id)
        await pool.execute(AGE, DAY, [request_id])
        await eventually(lambda: _forgotten(pool), PATIENCE)
    for service in services:
        await eventually(lambda service=service: _knows_both(service), PATIENCE)
    before = list(forgot)
    await eventually(lambda: max(forgot[0] - before[0], forgot[1] - before[1]) >= 5, PATIENCE)
    assert min(forgot[0] - before[0], forgot[1] - before[1]) <= 1  # one may have been under way


async def _forgotten(pool: asyncpg.Pool) -> None:
    assert await remembered(pool) == set()


async def _knows_both(service: Service) -> None:
    assert (await service.orchestrator.replicas.presence()).share.count == 2


class _ForgetsBetween:
    """A connection behind which all request ids are forgotten after the first statement."""

    def __init__(self, connection: Any, pool: asyncpg.Pool) -> None:
        self._connection = connection
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, *arguments: Any) -> None:
        await self._connection.execute(*arguments)
        await self._pool.execute("DELETE FROM request_ids")


async def test_an_id_that_is_forgotten_while_it_is_asked_for_makes_the_transaction_run_again(
    pool: asyncpg.Pool,
) -> None:
    await fill(pool, "old")
    request = RequestId("default", "old", b"x", new_uuid7())
    store = PostgresStore(pool)
    with pytest.raises(RetryTransactionError):
        async with store.transaction() as tx:
            tx._connection = _ForgetsBetween(tx._connection, pool)
            await tx.reserve_request_ids([request])

    async with store.transaction() as tx:
        assert await tx.reserve_request_ids([request]) == [request]
