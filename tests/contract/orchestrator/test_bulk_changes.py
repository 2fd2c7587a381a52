"""The statements change many rows at once as domain/rules/bulk.py changes each of them.

Every test fills the table with a full product of statuses and timers, lets the reference and the statement
change the same rows, and compares every column.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from copy import deepcopy
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres import store_sql as sql
from execution_orchestrator.adapters.postgres.lease_store import PostgresLeaseStore
from execution_orchestrator.adapters.postgres.store import PostgresStore
from execution_orchestrator.adapters.postgres.store_rows import attempt_row
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.application.ports.lease_store import Boot
from execution_orchestrator.application.ports.store import ExecutionChanges, HeartbeatClaim
from execution_orchestrator.application.ports.upkeep_store import RECONNECT_GRACE
from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.rules.bulk import (
    WAITING_STATUSES,
    Outage,
    apply_bulk,
    give_time_back,
    renew_claim,
)
from execution_orchestrator.domain.state_machine import FINAL_TASK_STATUSES, TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, Claim, TaskKey, TaskRun

OURS, OTHERS = UUID(int=1), UUID(int=2)
BOOT = Boot("default", "boot", "worker")
TTL = timedelta(seconds=30)
TOKEN = b"the secret of it"
PROGRESS = '{"done": 0.5}'

Stored = dict[TaskKey, dict[str, Any]]
"""Every column of the task runs of an execution."""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(
        database_url, min_size=1, max_size=2, server_settings=sql.SESSION_SETTINGS
    )
    yield pool
    await pool.close()


@pytest.fixture
async def now(pool: asyncpg.Pool) -> datetime:
    time: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return time


# -- rows ---------------------------------------------------------------------------------------


def every_kind_of_row(now: datetime) -> list[TaskRun]:
    """Return a task run in every status, with each of its timers running, due, or standing still."""
    rows = [
        *(TaskRun(_key("blocked", place), "noop", "default", unmet_needs=1) for place in (NO_ITEM, 4)),
        TaskRun(_key("fans-out"), "noop", "default", TaskStatus.RUNNING, start_time=now, items_open=2),
        *_final(now),
        *_waiting(now),
        *_claimed(now),
    ]
    for row in rows:
        row.input, row.input_bytes = '{"n": 1}', 8
    return rows


def _key(name: str, item: int = NO_ITEM) -> TaskKey:
    return TaskKey(name, item)


def _final(now: datetime) -> Iterator[TaskRun]:
    for status in FINAL_TASK_STATUSES:
        row = TaskRun(_key(f"final-{status}"), "noop", "default", status, attempt=2, epoch=2)
        row.worker_id, row.start_time, row.end_time = "worker", now - TTL, now
        row.output = "[1]" if status is TaskStatus.SUCCEEDED else None
        yield row


def _waiting(now: datetime) -> Iterator[TaskRun]:
    """Yield task runs that wait: until a time to come, one that has passed, or with their time frozen."""
    for status, frozen, seconds, attempt in product(WAITING_STATUSES, (False, True), (90, -5), (0, 3)):
        name = f"{status}-{'frozen' if frozen else 'running'}-{seconds}-{attempt}"
        row = TaskRun(_key(name, attempt), "noop", "default", status, attempt=attempt, epoch=attempt)
        row.last_ready_time = now - timedelta(seconds=100)
        row.failure = Failure("Error", "the last attempt") if attempt else None
        _set_timer(row, now + timedelta(seconds=seconds), now, frozen=frozen)
        if status is TaskStatus.READY and not frozen:
            row.ready_time = row.last_ready_time
        yield row


def _claimed(now: datetime) -> Iterator[TaskRun]:
    """Yield task runs that a worker has: confirmed or not, silent or not, due or not, frozen or not."""
    for boot, lease, silence, frozen in product(
        ("boot", "other"), (None, 30, -3), (None, 8, -8), (False, True)
    ):
        name = f"claimed-{boot}-{lease}-{silence}-{'frozen' if frozen else 'running'}"
        row = TaskRun(_key(name), "noop", "default", TaskStatus.RUNNING, attempt=2, epoch=3)
        row.worker_id, row.boot_id, row.claim_token = "worker", boot, TOKEN
        row.start_time = row.last_ready_time = now - TTL
        row.close_time = now + timedelta(seconds=300)
        row.lease_expire_time = None if lease is None else now + timedelta(seconds=lease)
        if silence is not None:
            row.heartbeat_timeout = timedelta(seconds=10)
            row.silence_time = now + timedelta(seconds=silence)
        assert row.deadline is not None
        _set_timer(row, row.deadline, now, frozen=frozen)
        yield row


def _set_timer(row: TaskRun, time: datetime, now: datetime, *, frozen: bool) -> None:
    row.wake_time = None if frozen else time
    row.frozen = time - now if frozen else None


# -- the table ----------------------------------------------------------------------------------


async def fill(pool: asyncpg.Pool, execution_id: UUID, now: datetime) -> tuple[Execution, Stored]:
    """Store an execution with every kind of row, and return what is stored."""
    tasks = {row.key: row for row in every_kind_of_row(now)}
    execution = Execution(execution_id, "default", "flow", 1, {}, now)
    execution.cancel_deadline = now + timedelta(seconds=60)
    changes = ExecutionChanges(execution, created=True, tasks=tasks, new_tasks=set(tasks), now=now)
    async with PostgresStore(pool).transaction() as tx:
        await tx.write([changes])
    await pool.execute("UPDATE task_runs SET progress = $1 WHERE boot_id IS NOT NULL", '{"done": 0.1}')
    return execution, await stored(pool, execution_id)


async def stored(pool: asyncpg.Pool, execution_id: UUID) -> Stored:
    rows = await pool.fetch("SELECT * FROM task_runs WHERE execution_id = $1", execution_id)
    return {TaskKey(row["task_id"], row["item"]): dict(row) for row in rows}


def changed(before: Stored, now: datetime, change: Callable[[TaskRun], object]) -> Stored:
    """Return the rows that the table must have after `change`, which gets each task run."""
    after = deepcopy(before)
    for row in every_kind_of_row(now):
        original = deepcopy(row)
        change(row)
        for each in fields(TaskRun):
            if getattr(row, each.name) != getattr(original, each.name):
                after[row.key][each.name] = getattr(row, each.name)
    return after


def differences(expected: Stored, actual: Stored) -> dict[tuple[TaskKey, str], tuple[Any, Any]]:
    """Return expected and actual value of every column that differs."""
    assert expected.keys() == actual.keys()
    return {
        (key, column): (value, actual[key][column])
        for key, row in expected.items()
        for column, value in row.items()
        if actual[key][column] != value
    }


# -- bulk changes of one execution --------------------------------------------------------------


@pytest.mark.parametrize("change", BulkChange, ids=lambda change: change.name)
async def test_a_bulk_change_does_what_its_reference_does(
    pool: asyncpg.Pool, now: datetime, change: BulkChange
) -> None:
    execution, before = await fill(pool, OURS, now)
    _, others = await fill(pool, OTHERS, now)
    change_time = now + timedelta(seconds=7)

    changes = ExecutionChanges(execution, bulk=[change], now=change_time)
    async with PostgresStore(pool).transaction() as tx:
        hints = await tx.write([changes])

    rows = every_kind_of_row(now)
    result = apply_bulk(rows, change, change_time)
    by_key = {row.key: row for row in rows}
    expected = changed(before, now, lambda row: row.__dict__.update(by_key[row.key].__dict__))
    assert expected != before, "the rows show nothing of this change"
    assert differences(expected, await stored(pool, OURS)) == {}
    assert differences(others, await stored(pool, OTHERS)) == {}, "it changed another execution"
    assert sorted(TaskKey(hint.task_id, hint.item) for hint in hints) == sorted(result.ready)
    attempts = [tuple(row) for row in await pool.fetch("SELECT * FROM attempts")]
    assert sorted(attempts) == sorted(attempt_row(changes, ended) for ended in result.ended)


# -- heartbeats ---------------------------------------------------------------------------------

FENCES = {"right": (3, TOKEN), "old epoch": (2, TOKEN), "wrong token": (3, b"another")}


@pytest.mark.parametrize("handler_alive", [True, False], ids=["alive", "silent"])
@pytest.mark.parametrize("progress", [None, PROGRESS], ids=["", "progress"])
@pytest.mark.parametrize("boot", ["none", "lives", "is reaped"])
async def test_a_heartbeat_renews_claims_as_its_reference_does(
    pool: asyncpg.Pool, now: datetime, boot: str, progress: str | None, handler_alive: bool
) -> None:
    execution, before = await fill(pool, OURS, now)
    if boot == "is reaped":
        reaped = "INSERT INTO worker_boots VALUES ('default', 'boot', 'worker', now() - $1::interval, now())"
        await pool.execute(reaped, TTL)
    heartbeats = [
        HeartbeatClaim(Claim(execution.id, key, 3, TOKEN), handler_alive, progress) for key in before
    ]

    store = PostgresLeaseStore(pool)
    held = await store.renew(heartbeats, TTL, None if boot == "none" else BOOT)

    after = await stored(pool, OURS)

    def renew(row: TaskRun) -> None:
        if row.in_flight:
            covered = boot == "lives" and row.boot_id == BOOT.boot_id
            time = _time_of_renewal(after[row.key], row, covered, handler_alive) or now
            assert now <= time < now + TTL
            renew_claim(row, time, TTL, covered=covered, handler_alive=handler_alive)

    expected = changed(before, now, renew)
    if progress is not None:
        for row in expected.values():
            row["progress"] = PROGRESS if row["boot_id"] else row["progress"]
    assert differences(expected, after) == {}
    in_flight = {row.key for row in every_kind_of_row(now) if row.in_flight}
    assert {each.claim for each in held} == {Claim(execution.id, key, 3, TOKEN) for key in in_flight}
    assert {each.cancel_deadline for each in held} == {execution.cancel_deadline}


def _time_of_renewal(
    after: dict[str, Any], row: TaskRun, covered: bool, handler_alive: bool
) -> datetime | None:
    """Return the server's time when it renewed the claim, if that shows in the row."""
    time: datetime | None = None
    if not covered:
        time = after["lease_expire_time"] - TTL
    elif handler_alive and row.heartbeat_timeout is not None:
        time = after["silence_time"] - row.heartbeat_timeout
    return time


@pytest.mark.parametrize("fence", ["old epoch", "wrong token"])
@pytest.mark.parametrize("boot", [None, BOOT], ids=["none", "lives"])
async def test_a_heartbeat_with_another_fence_renews_nothing(
    pool: asyncpg.Pool, now: datetime, boot: Boot | None, fence: str
) -> None:
    execution, before = await fill(pool, OURS, now)
    claims = [Claim(execution.id, key, *FENCES[fence]) for key in before]

    held = await PostgresLeaseStore(pool).renew(
        [HeartbeatClaim(claim, True, PROGRESS) for claim in claims], TTL, boot
    )

    assert held == []
    assert differences(before, await stored(pool, OURS)) == {}


@pytest.mark.parametrize("fence", FENCES)
async def test_a_claim_is_held_while_its_fence_is_that_of_the_row(
    pool: asyncpg.Pool, now: datetime, fence: str
) -> None:
    execution, before = await fill(pool, OURS, now)
    claims = [Claim(execution.id, key, *FENCES[fence]) for key in before]

    held = await PostgresStore(pool).held_claims(claims)

    in_flight = {row.key for row in every_kind_of_row(now) if row.in_flight}
    assert {each.claim.key for each in held} == (in_flight if fence == "right" else set())


async def test_the_claims_of_a_process_are_those_that_the_domain_calls_confirmed(
    pool: asyncpg.Pool, now: datetime
) -> None:
    await fill(pool, OURS, now)

    claims = await PostgresLeaseStore(pool).claims_of("default", "boot", None, 1_000)

    confirmed = {row.key for row in every_kind_of_row(now) if row.confirmed and row.boot_id == "boot"}
    assert {claim.key for claim in claims} == confirmed
    assert confirmed


# -- outages ------------------------------------------------------------------------------------


OUTAGES = {
    "before and while the jobs waited": [(500, 400), (130, 90), (60, 20)],
    "just over, so that workers need time": [(21, 20)],
}
"""The seconds since the begin and the end of each outage. The jobs wait for 100 seconds."""


@pytest.mark.parametrize("spans", OUTAGES.values(), ids=OUTAGES)
async def test_due_jobs_get_the_time_of_outages_back_as_in_the_reference(
    pool: asyncpg.Pool, now: datetime, spans: list[tuple[float, float]]
) -> None:
    _, before = await fill(pool, OURS, now)
    outages = [Outage(now - timedelta(seconds=begin), now - timedelta(seconds=end)) for begin, end in spans]
    await pool.executemany("INSERT INTO outages VALUES ($1, $2)", outages)
    newest_end = outages[-1].end_time

    moved = await PostgresUpkeepStore(pool).give_time_back(newest_end, 1_000)

    def move(row: TaskRun) -> None:
        if row.wake_time is not None and row.wake_time <= now:
            give_time_back(row, outages, newest_end, RECONNECT_GRACE)

    expected = changed(before, now, move)
    assert differences(expected, await stored(pool, OURS)) == {}
    assert moved == sum(expected[key] != before[key] for key in before) > 0
