"""After a restart of Postgres or a fail-over a worker that lives keeps its claims."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from embedded_stack import Servers
from execution_orchestrator.adapters.postgres.migrate import upgrade_async
from testkit import eventually
from testkit.directories import temporary_server_directory

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service
from tests.integration.orchestrator.tcp_proxy import TcpProxy, proxy_to

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
TTL_SECONDS = 10.0
PATIENCE = 60.0
PAST = "clock_timestamp() - interval '1 h'"
ALL_EXPIRE = (
    f"UPDATE task_runs SET lease_expire_time = {PAST}, wake_time = {PAST} WHERE wake_time < close_time",
    f"UPDATE worker_boots SET lease_expire_time = {PAST}",
)
CLAIMS = "SELECT execution_id::text, status, epoch FROM task_runs ORDER BY 1"


@dataclass
class Primary:
    """Postgres servers of the test's own, behind an address that leads to the primary of the moment."""

    servers: Servers
    proxy: TcpProxy
    port: int

    async def execute(self, *statements: str) -> list[Any]:
        """Run statements where the primary is now; return the rows of the last one."""
        connection = await asyncpg.connect(self.url)
        rows: list[Any] = []
        for statement in statements:
            rows = list(await connection.fetch(statement))
        await connection.close()
        return rows

    @property
    def url(self) -> str:
        addresses = self.servers.addresses
        return addresses.database_url.replace(f"port={addresses.postgres_port}", f"port={self.port}")

    def connect(self) -> Any:
        addresses = self.servers.addresses
        return asyncio.open_unix_connection(addresses.socket_directory / f".s.PGSQL.{self.port}")

    async def restart(self) -> None:
        await asyncio.to_thread(self.servers.kill_primary)
        await asyncio.to_thread(self.servers.start_primary)

    async def fail_over(self) -> None:
        """The standby, which has run for longer than any lease, becomes the primary."""
        await asyncio.to_thread(self.servers.wait_for_replica)
        await asyncio.to_thread(self.servers.kill_primary)
        self.port = self.servers.addresses.replica_port
        await self.execute("SELECT pg_promote()")


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    with temporary_server_directory() as directory, Servers.start(directory) as servers:
        yield servers


@pytest.fixture
async def primary(own_servers: Servers) -> AsyncIterator[Primary]:
    await upgrade_async(own_servers.addresses.database_url)
    primary = Primary(own_servers, None, own_servers.addresses.postgres_port)  # type: ignore[arg-type]
    async with proxy_to(lambda: primary.connect()) as proxy:
        primary.proxy = proxy
        yield primary


@asynccontextmanager
async def alive(worker: ScriptedWorker, *leases: Any) -> AsyncIterator[None]:
    """The worker sends heartbeats, as one that lives does; some of them may get no answer."""

    over = asyncio.Event()  # a write that is cancelled would end the session

    async def beat() -> None:
        while not over.is_set():
            with suppress(AssertionError):
                await worker.heartbeat(*leases)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        over.set()
        await beating


async def timers_have_looked(service: Service) -> None:
    """Wait until the timers have looked for what is due, and have woken it."""
    store = service.orchestrator.upkeep
    due_tasks, looks = store.due_tasks, 0

    async def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal looks
        found = await due_tasks(*arguments, **named)
        looks += 1
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "due_tasks", counted)
        await eventually(lambda: looks >= 3, PATIENCE)


@pytest.mark.parametrize("event", ["restart", "fail_over"])
async def test_a_worker_that_lives_keeps_its_claims_and_one_that_is_lost_loses_them_after_a_ttl(
    launch: Launch, catalog: FakeCatalog, primary: Primary, event: str
) -> None:
    catalog.publish(ONE_TASK)
    url = f"postgresql://postgres:{primary.servers.addresses.password}@127.0.0.1:{primary.proxy.port}/"
    url += primary.servers.addresses.database_url.split("/")[3].split("?")[0]
    service = await launch(database_url=url, lease_ttl=TTL_SECONDS)

    async with (
        ScriptedWorker(service.workers, hello("living"), credits=2) as living,
        ScriptedWorker(service.workers, hello("lost"), credits=0) as lost,
    ):
        for _ in range(2):
            await service.start()
        confirmed, unconfirmed = await living.leases(2)
        await living.heartbeat(confirmed)
        await lost.grant(1)
        await service.start()
        forgotten = await lost.lease()
        await lost.heartbeat(forgotten)
        await eventually(lambda: service.orchestrator.reachability.steady, PATIENCE)
        await primary.proxy.cut()
        await getattr(primary, event)()
        before = await primary.execute(*ALL_EXPIRE, CLAIMS)
        await primary.proxy.mend()
        await timers_have_looked(service)
        async with alive(living, confirmed, unconfirmed):
            await lost.stop_of(forgotten, "REVOKED", timeout=PATIENCE)

        await living.succeed(confirmed, unconfirmed)

        assert [await living.ack(lease) for lease in (confirmed, unconfirmed)] == ["RECORDED"] * 2
        assert len(before) == 3
        assert await primary.execute("SELECT worker_id FROM attempts") == [("lost",)]


async def test_leases_that_expired_while_postgres_could_not_be_reached_do_not_count(
    launch: Launch, catalog: FakeCatalog, wire: Wire
) -> None:
    """The start of Postgres is long ago, as after a fail-over."""
    catalog.publish(ONE_TASK)
    service = await launch(database_url=wire.database_url, lease_ttl=TTL_SECONDS)

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await service.start()
        confirmed, unconfirmed = await worker.leases(2)
        await worker.heartbeat(confirmed)
        await eventually(lambda: service.orchestrator.reachability.steady, PATIENCE)
        await wire.cut()
        await eventually(lambda: not service.orchestrator.reachability.steady, PATIENCE)
        for statement in ALL_EXPIRE:
            await service.rows(statement)
        before = await service.rows(CLAIMS)
        await wire.mend()
        await timers_have_looked(service)
        async with alive(worker, confirmed, unconfirmed):
            await eventually(lambda: service.orchestrator.reachability.steady, PATIENCE)
        assert await service.rows(CLAIMS) == before

        await worker.succeed(confirmed, unconfirmed)

        assert [await worker.ack(lease) for lease in (confirmed, unconfirmed)] == ["RECORDED"] * 2
