"""Only the primary's clock decides what is due: the clock of a process may be wrong in either direction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.upkeep.timers import TimerPace
from execution_orchestrator.domain.commands import WakeExecution, WakeTask
from execution_orchestrator.domain.task import TaskKey
from execution_orchestrator.tuning import USUAL_TUNING, Tuning
from service_kit.tools.clock import SystemClock

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.checker import check_everything
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    running_service,
    status_of,
    task_of,
    task_status,
)

HOUR = timedelta(hours=1)
BACKS_OFF: dict[str, Any] = {
    "id": "only",
    "type": "noop",
    "retry_policy": {"maximum_attempts": 3, "initial_interval": "600s", "maximum_interval": "600s"},
}


class WrongClock(SystemClock):
    """A process's clock that is wrong, and whose monotonic time may jump."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead
        self.jumped_seconds = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.jumped_seconds


@asynccontextmanager
async def service_with(
    clock: WrongClock,
    database_url: str,
    redis_url: str,
    catalog_server: tuple[grpc.aio.Server, str],
    pool: asyncpg.Pool,
    tuning: Tuning = USUAL_TUNING,
) -> AsyncIterator[Service]:
    running = running_service(database_url, redis_url, catalog_server[1], pool, clock=clock, tuning=tuning)
    async with running as service:
        yield service
    await check_everything(pool)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_times_that_are_stored_are_the_primarys(
    ahead: timedelta,
    database_url: str,
    redis_url: str,
    catalog: FakeCatalog,
    catalog_server: tuple[grpc.aio.Server, str],
    pool: asyncpg.Pool,
) -> None:
    catalog.publish({"id": "only", "type": "noop"})
    clock = WrongClock(ahead)

    async with service_with(clock, database_url, redis_url, catalog_server, pool) as service:
        async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
            started = await service.start()
            lease = await worker.lease()
            (row,) = await service.rows(
                "SELECT abs(extract(epoch FROM e.create_time - clock_timestamp())) AS created,"
                " abs(extract(epoch FROM t.lease_expire_time - clock_timestamp())) AS lease"
                " FROM executions e JOIN task_runs t ON t.execution_id = e.id"
            )
            assert row["created"] < 600
            assert row["lease"] < 600
            await worker.succeed(lease)
            execution = await service.becomes(started.execution_id, "COMPLETED")
        assert attempt_statuses(task_of(execution, "only")) == ["SUCCEEDED"]


async def test_a_clock_that_jumps_wakes_nothing_before_its_time(
    database_url: str,
    redis_url: str,
    catalog: FakeCatalog,
    catalog_server: tuple[grpc.aio.Server, str],
    pool: asyncpg.Pool,
) -> None:
    """The transaction itself asks the primary for the time, under the lock of the execution."""
    catalog.publish(BACKS_OFF)
    clock = WrongClock(timedelta())
    # After the first tick of the timers no other one sets the clock right.
    tuning = Tuning(timers=TimerPace(period_seconds=3600.0))

    async with service_with(clock, database_url, redis_url, catalog_server, pool, tuning) as service:
        async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
            started = await service.start()
            lease = await worker.lease()
            await worker.fail(lease)
            assert await worker.ack(lease) == "RECORDED"
            backing_off = await service.becomes(started.execution_id, "RUNNING")
        assert task_status(task_of(backing_off, "only")) == "BACKING_OFF"
        before = await service.everything()
        clock.jumped_seconds = HOUR.total_seconds() * 48
        id_ = UUID(started.execution_id)
        submit = service.orchestrator.pipeline.submit
        await submit(CommandWork(id_, WakeTask(TaskKey("only"))))
        clock.jumped_seconds *= 2

        await submit(CommandWork(id_, WakeExecution()))

        assert await service.everything() == before
        assert status_of(await service.get(started.execution_id)) == "RUNNING"
