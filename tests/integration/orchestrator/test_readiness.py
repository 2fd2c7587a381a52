"""A replica is ready exactly when it can do its work; slow reads neither stop writes nor make it unready."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest
import structlog
from execution_orchestrator.application.upkeep.readiness import ReadinessLimits
from execution_orchestrator.tuning import Tuning
from service_kit.data.silence import Patience
from testkit import eventually
from testkit.databases import Databases
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch, Wire
from tests.integration.orchestrator.service import STRONG, Service, refusal, status_of, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"
GENEROUS_SECONDS = 40.0


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def checks_of(service: Service) -> tuple[int, dict[str, str]]:
    """The status of /readyz, and what each check says."""
    status, body = await asyncio.to_thread(get, service.http_port, "/readyz")
    return status, json.loads(body)["checks"]


async def is_ready(service: Service) -> None:
    status, checks = await checks_of(service)
    assert status == 200, checks


def is_unready(service: Service, check: str, words: str) -> Callable[[], Any]:
    async def unready() -> None:
        status, checks = await checks_of(service)
        assert (status, words in checks.get(check, "")) == (503, True), checks
        assert (await asyncio.to_thread(get, service.http_port, "/livez"))[0] == 200

    return unready


async def test_a_whole_replica_is_ready(service: Service) -> None:
    assert await checks_of(service) == (
        200,
        {"database": "ok", "pipeline": "ok", "duties": "ok", "replica": "ok"},
    )


async def test_a_database_without_tables_is_not_ready(launch: Launch, databases: Databases) -> None:
    empty = databases.create()
    service = await launch(database_url=empty.url)
    advice = "run `python -m execution_orchestrator migrate`"
    await eventually(is_unready(service, "database", advice), timeout=GENEROUS_SECONDS)
    error = await refusal(service.executions.ListExecutions(pb.ListExecutionsRequest()))

    assert (error.code, error.reason) == UNAVAILABLE
    assert "run its `migrate`" in error.message


async def test_a_database_of_an_older_release_is_not_ready_and_one_of_a_newer_release_is(
    service: Service,
) -> None:
    await service.rows("UPDATE alembic_version_orchestrator SET version_num = '0001'")
    await eventually(is_unready(service, "database", "at revision 0001"), timeout=GENEROUS_SECONDS)
    await service.rows("UPDATE alembic_version_orchestrator SET version_num = '9999'")
    await eventually(lambda: is_ready(service), timeout=GENEROUS_SECONDS)


@tuned(readiness=ReadinessLimits(work_age_seconds=0.2))
async def test_a_lane_that_does_not_get_on_is_named(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await launch(pipeline_lanes=1)
    catalog.publish(ONE_TASK)
    await service.start()
    store = service.orchestrator.store
    transaction, goes_on = store.transaction, asyncio.Event()

    @asynccontextmanager
    async def stuck() -> AsyncIterator[Any]:
        await goes_on.wait()
        async with transaction() as tx:
            yield tx

    with monkeypatch.context() as patched:
        patched.setattr(store, "transaction", stuck)
        start = asyncio.create_task(service.start())
        try:
            await eventually(is_unready(service, "pipeline", "0.2 s allowed"), timeout=GENEROUS_SECONDS)
        finally:
            goes_on.set()  # or the service would wait for its pipeline when it stops
    assert status_of(await start) == "PENDING"
    await eventually(lambda: is_ready(service), timeout=GENEROUS_SECONDS)


@pytest.mark.parametrize("duty", ["timers", "sweep", "dispatcher", "waiters"])
async def test_a_duty_that_stands_still_is_named(duty: str, launch: Launch) -> None:
    several_rounds = ReadinessLimits(**{f"{duty}_late_seconds": 5.0})  # also on a slow machine
    service = await launch(tuning=Tuning(readiness=several_rounds))
    await is_ready(service)
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == duty]

    async def ended() -> None:
        task.cancel()  # again, since asyncio.wait_for may swallow a cancellation that comes with a result
        assert task.done()

    await eventually(ended, timeout=GENEROUS_SECONDS)
    await eventually(is_unready(service, "duties", f"{duty}: no round"), timeout=GENEROUS_SECONDS)


async def test_every_duty_goes_on_reporting(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await launch()
    rounds = dict.fromkeys(("timers", "sweep", "dispatcher", "waiters"), 0)
    for name in rounds:
        duty = getattr(service.orchestrator, name)

        def count(name: str = name, report: Callable[[], None] = duty.rounds.done) -> None:
            rounds[name] += 1
            report()

        monkeypatch.setattr(duty.rounds, "done", count)
    await eventually(lambda: min(rounds.values()) >= 3, timeout=GENEROUS_SECONDS)


@asynccontextmanager
async def slow_reads(service: Service, count: int, *, slow: bool) -> AsyncIterator[None]:
    """This many callers wait for reads that take very long."""
    database = service.orchestrator.reads._database

    def sleep() -> Any:
        query = "SELECT pg_sleep(600) AS slow_read"
        return database.read(lambda connection: connection.fetchval(query), slow=slow)

    sleeping = [asyncio.create_task(sleep()) for _ in range(count)]
    under_way = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS slow_read' AND state = 'active'"
    expected = 2 if slow else 4

    async def taken() -> None:
        assert (await service.rows(f"{under_way} AND datname = current_database()"))[0][0] == expected

    await eventually(taken, timeout=GENEROUS_SECONDS)
    try:
        yield
    finally:
        for task in sleeping:
            task.cancel()
        await asyncio.wait(sleeping)


async def test_reads_that_take_every_connection_for_reads_stop_no_write_and_no_duty(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(database_read_pool_size=4)
    catalog.publish(ONE_TASK)
    async with slow_reads(service, 30, slow=False):
        async with asyncio.timeout(GENEROUS_SECONDS):
            started = await service.start()
            await service.pause(started.execution_id)
        await is_ready(service)

    assert status_of(await service.get(started.execution_id)) == "PAUSED"


@tuned(slow_read_seconds=0.1)
async def test_lists_leave_half_of_the_connections_for_reads_to_others(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(database_read_pool_size=4)
    catalog.publish(ONE_TASK)
    started = await service.start()

    async with slow_reads(service, 10, slow=True):
        assert status_of(await service.get(started.execution_id)) == "PENDING"
        listing = service.executions.ListExecutions(pb.ListExecutionsRequest(read_consistency=STRONG))
        error = await refusal(listing)

        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "ask for less" in error.message


async def test_a_read_that_takes_too_long_says_what_to_do(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    service = await launch(database_statement_timeout=0.5)
    catalog.publish(ONE_TASK)
    started = await service.start()

    async with pool.acquire() as blocker, blocker.transaction():
        await blocker.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
        error = await refusal(service.get(started.execution_id))

    assert (error.code, error.reason) == UNAVAILABLE
    assert "longer than it may" in error.message
    assert "ask for less" in error.message


async def test_a_primary_that_takes_no_writes_is_not_ready_and_is_used_again_when_it_does(
    service: Service, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    """As in a switch-over, while the address still leads to the server that is a standby from now on."""
    catalog.publish(ONE_TASK)
    await service.start()
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'execution-orchestrator'"
    )
    await eventually(is_unready(service, "database", "does not answer"), timeout=GENEROUS_SECONDS)
    error = await refusal(service.start())
    assert (error.code, error.reason) == UNAVAILABLE
    await pool.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off')

    await eventually(lambda: is_ready(service), timeout=GENEROUS_SECONDS)

    assert status_of(await service.start()) == "PENDING"


async def test_a_connection_of_the_write_path_that_became_read_only_is_not_used_again(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    await service.start()
    database = service.orchestrator.reads._database
    async with database.primary.acquire() as connection:  # the pool gives out the one that came back last
        await connection.execute("SET default_transaction_read_only = on")
    with structlog.testing.capture_logs() as logs:
        assert status_of(await service.start()) == "PENDING"
    retried = [line["error"] for line in logs if line["event"] == "transaction_retried"]

    assert len(retried) == 1
    assert "read-only" in retried[0]


@pytest.fixture
async def behind_wire(launch: Launch, wire: Wire) -> Service:
    """An orchestrator that soon asks whether a silent Postgres is still there."""
    patience = Patience(before_asking=0.5, for_the_answer=1.0, between_looks=0.05)
    return await launch(database_url=wire.database_url, tuning=Tuning(database_patience=patience))


async def test_a_start_survives_that_every_open_connection_falls_silent(
    behind_wire: Service, catalog: FakeCatalog, wire: Wire
) -> None:
    catalog.publish(ONE_TASK)
    await behind_wire.start()
    assert wire.proxy.swallow(new_too=False) > 0
    async with asyncio.timeout(GENEROUS_SECONDS):
        assert status_of(await behind_wire.start()) == "PENDING"
    await eventually(lambda: is_ready(behind_wire), timeout=GENEROUS_SECONDS)

    assert len(await behind_wire.rows("SELECT 1 FROM executions")) == 2


async def test_a_postgres_that_answers_nobody_makes_a_replica_unready_until_it_answers(
    behind_wire: Service, catalog: FakeCatalog, wire: Wire
) -> None:
    catalog.publish(ONE_TASK)
    await behind_wire.start()
    wire.proxy.swallow()
    await eventually(is_unready(behind_wire, "database", ""), timeout=GENEROUS_SECONDS)
    await wire.mend()
    await eventually(lambda: is_ready(behind_wire), timeout=GENEROUS_SECONDS)

    assert status_of(await behind_wire.start()) == "PENDING"


FULL_DISK = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER disk_full BEFORE INSERT ON executions FOR EACH STATEMENT EXECUTE FUNCTION disk_full();
CREATE FUNCTION no_room() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE EVENT TRIGGER no_room ON ddl_command_start WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION no_room();
"""


async def test_a_full_disk_of_the_database_is_named_and_recovers_without_a_restart(
    service: Service, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    """The triggers raise what PostgreSQL raises if it cannot extend a file: for a start, and for a probe."""
    catalog.publish(ONE_TASK)
    await pool.execute(FULL_DISK)
    error = await refusal(service.start())
    assert (error.code, error.reason) == UNAVAILABLE
    assert "the disk of the database is full" in error.message
    assert error.metadata == {"dependency": "database"}
    await eventually(is_unready(service, "database", "free space on it"), timeout=GENEROUS_SECONDS)
    await pool.execute("DROP TRIGGER disk_full ON executions; DROP EVENT TRIGGER no_room")
    await eventually(lambda: is_ready(service), timeout=GENEROUS_SECONDS)
    await service.start()
    leftovers = "SELECT count(*) FROM pg_class WHERE relname = 'workflowsystem_disk_probe'"

    assert await pool.fetchval(leftovers) == 0
