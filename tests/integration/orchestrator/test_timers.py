"""What is due is woken: every page of it, by one replica, whatever cannot be woken beside it."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.upkeep_store import EARLIEST, Place, Presence, Share
from execution_orchestrator.application.upkeep.timers import TimerPace
from execution_orchestrator.domain.commands import WakeTask
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.task import TaskKey
from execution_orchestrator.tuning import Tuning
from testkit import eventually
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, start_request, tuned

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
PATIENCE = 60.0


async def start_many(service: Service, count: int, workflow_id: str = "flow") -> list[str]:
    ids: list[str] = []
    while len(ids) < count:
        requests = [start_request(None, workflow_id) for _ in range(min(50, count - len(ids)))]
        batch = pb.BatchStartExecutionsRequest(requests=requests)
        response = await service.executions.BatchStartExecutions(batch)
        ids += [result.execution.execution_id for result in response.results]
    return ids


async def count_of(service: Service, status: str, workflow_id: str = "flow") -> int:
    query = "SELECT count(*) AS n FROM executions WHERE status = $1 AND workflow_id = $2"
    return int((await service.rows(query, status, workflow_id))[0]["n"])


def counted(service: Service, wakes: "Counter[str]") -> None:
    """Count the wakes of each task run that this replica sends."""
    submit = service.orchestrator.pipeline.submit

    def count(work: Any) -> Any:
        if isinstance(work.command, WakeTask):
            wakes[str(work.execution_id)] += 1
        return submit(work)

    service.orchestrator.pipeline.submit = count  # type: ignore[method-assign]


@tuned(timers=TimerPace(page=3, period_seconds=3600.0))
async def test_all_pages_of_what_is_due_are_woken_in_one_round(launch: Launch, catalog: FakeCatalog) -> None:
    service = await launch()
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.001s"}})
    await start_many(service, 60)  # the timers sleep from their first round to the end of the test

    async def due() -> None:
        late = "SELECT count(*) AS n FROM task_runs WHERE wake_time < clock_timestamp() OR wake_time IS NULL"
        assert (await service.rows(late))[0]["n"] == 60

    await eventually(due, PATIENCE)
    while await service.orchestrator.timers.tick():
        pass
    assert await count_of(service, "FAILED") == 60


@tuned(timers=TimerPace(page=9))
async def test_what_cannot_be_decided_keeps_no_other_timer_from_being_woken(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    """Several pages of it are due, and were due before the back-off of another execution is over."""
    service = await launch()
    wakes: Counter[str] = Counter()
    counted(service, wakes)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "1s"}}, workflow_id="damaged")
    policy = {"maximum_attempts": 3, "initial_interval": "0.3s", "jitter": 0}
    catalog.publish({**ONE_TASK, "retry_policy": policy})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        damaged = await start_many(service, 50, "damaged")
        definition = await pool.fetchrow("DELETE FROM definitions WHERE workflow_id = 'damaged' RETURNING *")
        service.orchestrator.plans._plans._entries.clear()
        await eventually(lambda: set(damaged) <= set(wakes), PATIENCE)
        await worker.fail(lease)
        await worker.succeed(await worker.lease())  # the back-off is over
        await service.becomes(id_, "COMPLETED", PATIENCE)
        assert await count_of(service, "FAILED", "damaged") == 0
    # When the definition is back the executions go on.
    await pool.execute("INSERT INTO definitions VALUES ($1, $2, $3, $4)", *definition.values())

    async def failed() -> None:
        assert await count_of(service, "FAILED", "damaged") == 50

    await eventually(failed, PATIENCE)


@tuned(timers=TimerPace(period_seconds=0.001, first_pause_seconds=0.05))
async def test_a_wake_that_fails_is_tried_again_after_pauses_that_grow(
    launch: Launch, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    service = await launch()
    ticks = 0
    due_executions = service.orchestrator.upkeep.due_executions

    async def look(*arguments: Any) -> Any:
        nonlocal ticks
        ticks += 1
        return await due_executions(*arguments)

    service.orchestrator.upkeep.due_executions = look  # type: ignore[method-assign]
    wakes: Counter[str] = Counter()
    counted(service, wakes)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.5s"}})
    (id_,) = await start_many(service, 1)
    definition = await pool.fetchrow("DELETE FROM definitions RETURNING *")
    service.orchestrator.plans._plans._entries.clear()
    await eventually(lambda: wakes[id_] >= 4, PATIENCE)
    ticks_of_four = ticks
    await eventually(lambda: ticks >= ticks_of_four + 200, PATIENCE)
    assert wakes[id_] <= 4 + 12  # 0.4 s, 0.8 s, ...: not every tick
    await pool.execute("INSERT INTO definitions VALUES ($1, $2, $3, $4)", *definition.values())
    await service.becomes(id_, "FAILED", PATIENCE)


@tuned(timers=TimerPace(patience_seconds=0.05))
async def test_a_wake_that_takes_long_keeps_no_other_timer_from_being_woken(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await launch()
    submit = service.orchestrator.pipeline.submit
    held: list[asyncio.Future[Any]] = []

    def slow(work: Any) -> Any:
        if isinstance(work.command, WakeTask) and not held:
            held.append(asyncio.get_running_loop().create_future())
            return held[0]
        return submit(work)

    monkeypatch.setattr(service.orchestrator.pipeline, "submit", slow)
    catalog.publish({**ONE_TASK, "timeouts": {"schedule_to_start": "0.3s"}})
    await start_many(service, 5)

    async def others_failed() -> None:
        assert held
        assert await count_of(service, "FAILED") == 4

    await eventually(others_failed, PATIENCE)
    held[0].set_exception(RuntimeError("the wake failed"))

    async def all_failed() -> None:
        assert await count_of(service, "FAILED") == 5

    await eventually(all_failed, PATIENCE)


async def test_three_replicas_wake_everything_once(
    launch: Launch, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is: no row moves on to another replica, and no replica counts as away.
    no_turns = sql.DUE_TASKS.replace(f"/ {sql.TURN_SECONDS}", "/ 3600")
    assert no_turns != sql.DUE_TASKS
    monkeypatch.setattr(sql, "DUE_TASKS", no_turns)
    services = [await launch(queue_timeout=1.0, database_pool_size=3) for _ in range(3)]
    for service in services:
        await eventually(lambda service=service: _knows_all(service), PATIENCE)
    presences = [await service.orchestrator.replicas.presence() for service in services]
    assert sorted(presence.share.index for presence in presences) == [0, 1, 2]
    for service, presence in zip(services, presences, strict=True):
        _keep_share(service, presence.share)
    catalog.publish(ONE_TASK)
    wakes: Counter[str] = Counter()
    own: list[Counter[str]] = [Counter() for _ in services]
    for service, mine in zip(services, own, strict=True):
        counted(service, wakes)
        counted(service, mine)
    await start_many(services[0], 1_500)

    async def all_failed() -> None:
        assert await count_of(services[0], "FAILED") == 1_500

    await eventually(all_failed, PATIENCE)
    assert sum(wakes.values()) <= 1.05 * 1_500  # 4,500 without shares
    assert min(len(mine) for mine in own) > 1_500 / 3 / 2


def _keep_share(service: Service, share: Share) -> None:
    replicas = service.orchestrator.replicas
    ask = replicas.presence

    async def presence() -> Presence:
        return replace(await ask(), share=share)

    replicas.presence = presence  # type: ignore[method-assign]


async def _knows_all(service: Service) -> None:
    assert (await service.orchestrator.replicas.presence()).share.count == 3


async def test_a_clock_of_the_process_that_is_ahead_wakes_nothing(
    service: Service, catalog: FakeCatalog, pool: asyncpg.Pool
) -> None:
    catalog.publish(ONE_TASK)
    (id_,) = await start_many(service, 1)
    now = await pool.fetchval("SELECT clock_timestamp()")
    service.orchestrator.clock.sync(now + timedelta(hours=1))
    wake = CommandWork(UUID(id_), WakeTask(TaskKey("only")))

    assert (await service.orchestrator.pipeline.submit(wake)).effect is Effect.UNCHANGED
    assert await count_of(service, "PENDING") == 1


async def test_the_timers_of_an_engine_that_has_settled_look_from_a_mark_on(launch: Launch) -> None:
    always_from_the_beginning = Tuning(timers=TimerPace(full_walk_seconds=0.0))
    places = places_of(await launch(lease_ttl=1.0, tuning=always_from_the_beginning))
    await eventually(lambda: len(places) >= 3, PATIENCE)
    assert {place.wake_time for place in places} == {EARLIEST}

    from_the_beginning_once = Tuning(timers=TimerPace(full_walk_seconds=3600.0))
    places = places_of(await launch(lease_ttl=1.0, tuning=from_the_beginning_once))
    await eventually(lambda: bool(places) and places[-1].wake_time > EARLIEST, PATIENCE)
    looked = len(places)
    await eventually(lambda: len(places) >= looked + 3, PATIENCE)
    assert min(place.wake_time for place in places[looked:]) > EARLIEST


def places_of(service: Service) -> list[Place]:
    """Return the list to which each look of the timers adds the place where it begins."""
    places: list[Place] = []
    due_tasks = service.orchestrator.upkeep.due_tasks

    async def look(place: Place, *others: Any, **named: Any) -> Any:
        places.append(place)
        return await due_tasks(place, *others, **named)

    service.orchestrator.upkeep.due_tasks = look  # type: ignore[method-assign]
    return places
