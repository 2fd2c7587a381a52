"""Commands through the pipeline into a real Postgres: what is committed, and what comes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from execution_orchestrator.application.engine.work import ExecutionNotFoundError, RequestIdReusedError
from execution_orchestrator.application.ports.store import RequestId
from execution_orchestrator.domain.buckets import bucket_of_request
from execution_orchestrator.domain.commands import (
    CancelExecution,
    Failed,
    PauseExecution,
    ReportTask,
    ResumeExecution,
    Succeeded,
    WakeTask,
)
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.task import TaskKey
from service_kit.tools.ids import new_uuid7
from testkit import eventually

from .engine import Engine, running_engine

ONE_TASK = {"tasks": [{"id": "only", "type": "noop", "input": "${input}"}], "output": "${tasks.only.output}"}
CHAIN = {
    "tasks": [
        {"id": "first", "type": "noop", "input": {"n": "${input.n}"}},
        {"id": "second", "type": "noop", "needs": ["first"], "input": {"n": "${tasks.first.output.n + 1}"}},
    ],
    "output": "${tasks.second.output}",
}
FAN_OUT = {
    "tasks": [
        {"id": "each", "type": "noop", "for_each": {"items": "${input.items}", "max_parallel": 2}},
        {"id": "join", "type": "noop", "needs": ["each"], "input": "${tasks.each.output}"},
    ]
}


@pytest.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    async with running_engine(database_url, redis_url) as engine:
        yield engine


async def test_one_task_goes_from_pending_to_completed(engine: Engine) -> None:
    await engine.publish(ONE_TASK)
    started = (await engine.start({"a": 1})).execution
    assert started.status == "PENDING"
    lease = await engine.claim(started.id, "only")
    assert lease is not None
    assert json.loads(lease.input) == {"a": 1}
    done = (await engine.succeed(lease, {"b": 2})).execution
    assert (done.status, done.final, done.output) == ("COMPLETED", True, '{"b":2}')

    events = await engine.rows("SELECT sequence, type FROM execution_events ORDER BY sequence")

    assert [tuple(event) for event in events] == [
        (1, "EXECUTION_CREATED"),
        (2, "EXECUTION_STARTED"),
        (3, "TASK_STARTED"),
        (4, "TASK_SUCCEEDED"),
        (5, "EXECUTION_COMPLETED"),
    ]


async def test_an_output_reaches_the_expression_of_the_next_task(engine: Engine) -> None:
    await engine.publish(CHAIN)
    id_ = (await engine.start({"n": 41})).execution.id
    first = await engine.claim(id_, "first")
    assert first is not None
    await engine.succeed(first, {"n": 41})
    second = await engine.claim(id_, "second")
    assert second is not None
    assert json.loads(second.input) == {"n": 42}

    done = (await engine.succeed(second, "end")).execution

    assert (done.status, done.output) == ("COMPLETED", '"end"')


async def test_a_fan_out_runs_so_many_at_a_time_and_joins_in_order(engine: Engine) -> None:
    await engine.publish(FAN_OUT)
    id_ = (await engine.start({"items": ["a", "b", "c", "d", "e"]})).execution.id
    assert await engine.claim(id_, "each", 2) is None
    for item in (1, 0, 2, 4, 3):
        lease = await engine.claim(id_, "each", item)
        assert lease is not None
        assert json.loads(lease.input) == "abcde"[item]
        await engine.succeed(lease, f"done {'abcde'[item]}")

    join = await engine.claim(id_, "join")

    assert join is not None
    assert json.loads(join.input) == ["done a", "done b", "done c", "done d", "done e"]
    assert (await engine.succeed(join, None)).execution.status == "COMPLETED"


async def test_items_that_end_in_one_batch_are_all_in_the_joined_output(engine: Engine) -> None:
    await engine.publish(FAN_OUT)
    id_ = (await engine.start({"items": [1, 2]})).execution.id
    leases = [await engine.claim(id_, "each", item) for item in range(2)]
    await asyncio.gather(*(engine.succeed(lease, lease.key.item) for lease in leases if lease))
    join = await engine.claim(id_, "join")

    assert join is not None
    assert json.loads(join.input) == [0, 1]


async def test_a_stale_report_changes_nothing_and_a_repeated_one_is_acknowledged(engine: Engine) -> None:
    await engine.publish(CHAIN)
    id_ = (await engine.start({"n": 1})).execution.id
    lease = await engine.claim(id_, "first")
    assert lease is not None
    stale = await engine.command(id_, ReportTask(lease.key, lease.epoch - 1, Succeeded("0"), lease.token))
    assert stale.effect is Effect.STALE
    assert (await engine.succeed(lease, {"n": 1})).effect is Effect.APPLIED
    assert (await engine.succeed(lease, {"n": 9})).effect is Effect.UNCHANGED

    second = await engine.claim(id_, "second")

    assert second is not None
    assert json.loads(second.input) == {"n": 2}


async def test_a_report_of_a_task_that_does_not_exist_is_stale(engine: Engine) -> None:
    await engine.publish(CHAIN)
    id_ = (await engine.start({"n": 1})).execution.id
    result = await engine.command(id_, ReportTask(TaskKey("first", 7), 1, Succeeded("0")))

    assert result.effect is Effect.STALE


async def test_the_same_request_id_starts_one_execution(engine: Engine) -> None:
    await engine.publish(ONE_TASK)

    def request(hash_: bytes = b"body") -> RequestId:
        return RequestId("default", "once", hash_, new_uuid7(bucket_of_request("default", "once")))

    both = await asyncio.gather(*(engine.start({"a": 1}, request=request()) for _ in range(5)))
    again = await engine.start({"a": 1}, request=request())
    assert {result.execution.id for result in (*both, again)} == {both[0].execution.id}
    with pytest.raises(RequestIdReusedError):
        await engine.start({"a": 2}, request=request(b"another body"))
    assert len(await engine.rows("SELECT 1 FROM executions")) == 1


async def test_a_paused_execution_starts_nothing_until_it_is_resumed(engine: Engine) -> None:
    await engine.publish(CHAIN)
    id_ = (await engine.start({"n": 1})).execution.id
    first = await engine.claim(id_, "first")
    assert first is not None
    paused = (await engine.command(id_, PauseExecution(reason="lunch"))).execution
    assert (paused.status, paused.pause and paused.pause.quiesced_time) == ("PAUSED", None)

    quiesced = (await engine.succeed(first, {"n": 1})).execution

    assert quiesced.pause is not None
    assert quiesced.pause.quiesced_time is not None
    assert await engine.claim(id_, "second") is None
    assert [row["wake_time"] for row in await engine.rows("SELECT wake_time FROM task_runs")] == [None, None]
    assert (await engine.command(id_, ResumeExecution())).execution.status == "RUNNING"
    assert await engine.claim(id_, "second") is not None


async def test_a_resume_puts_what_is_ready_back_into_the_queue(engine: Engine) -> None:
    await engine.publish(ONE_TASK)
    id_ = (await engine.start()).execution.id
    await engine.command(id_, PauseExecution())
    await engine.queue.pop("default", 10, {("default", "noop")})
    result = await engine.command(id_, ResumeExecution())
    assert result.published is None or await result.published is None
    await asyncio.sleep(0)
    hints = []

    while not hints:
        hints = await engine.queue.pop("default", 10, {("default", "noop")})

    assert hints[0].hint.execution_id == id_


async def test_cancel_waits_for_what_is_in_flight_no_longer_than_its_grace(engine: Engine) -> None:
    await engine.publish(FAN_OUT)
    id_ = (await engine.start({"items": [1, 2, 3]})).execution.id
    lease = await engine.claim(id_, "each", 0)
    assert lease is not None
    cancelling = (await engine.command(id_, CancelExecution(timedelta(seconds=30), "enough"))).execution
    assert (cancelling.status, cancelling.cancel_requested) == ("RUNNING", True)
    at_once = (await engine.command(id_, CancelExecution(timedelta()))).execution
    assert (at_once.status, at_once.final) == ("CANCELLED", True)
    assert (await engine.succeed(lease, 1)).effect is Effect.STALE
    open_ = await engine.rows("SELECT 1 FROM task_runs WHERE status NOT IN ('CANCELLED', 'SUCCEEDED')")
    assert open_ == []

    kept = await engine.rows("SELECT status FROM attempts")

    assert [row["status"] for row in kept] == ["CANCELLED"]


async def test_a_failed_attempt_backs_off_and_the_last_one_fails_the_execution(engine: Engine) -> None:
    policy = {"maximum_attempts": 2, "initial_interval": "0.001s"}
    await engine.publish({"tasks": [{"id": "only", "type": "noop", "retry_policy": policy}]})
    id_ = (await engine.start()).execution.id

    for attempt in (1, 2):
        lease = await engine.claim(id_, "only")
        assert lease is not None
        assert lease.attempt == attempt
        report = ReportTask(lease.key, lease.epoch, Failed(Failure("Boom", "it broke")), lease.token)
        execution = (await engine.command(id_, report)).execution
        if attempt == 1:
            await eventually(lambda: _back_off_is_over(engine, id_))

    assert (execution.status, execution.final) == ("FAILED", True)
    assert execution.failure is not None
    assert (execution.failure.type, execution.failure.retry_state) == ("Boom", "attempts exhausted")
    assert len(await engine.rows("SELECT 1 FROM attempts")) == 2


async def _back_off_is_over(engine: Engine, execution_id: UUID) -> None:
    woken = await engine.command(execution_id, WakeTask(TaskKey("only")))
    assert woken.effect is Effect.APPLIED


async def test_a_command_to_an_execution_of_another_namespace_finds_nothing(engine: Engine) -> None:
    await engine.publish(ONE_TASK)
    await engine.start()

    with pytest.raises(ExecutionNotFoundError):
        await engine.command(new_uuid7(), PauseExecution())


async def test_many_executions_at_once_all_complete(engine: Engine) -> None:
    await engine.publish(CHAIN)

    async def one(n: int) -> None:
        id_ = (await engine.start({"n": n})).execution.id
        for task_id in ("first", "second"):
            lease = await engine.claim(id_, task_id)
            assert lease is not None
            await engine.succeed(lease, {"n": json.loads(lease.input)["n"]})

    await asyncio.gather(*(one(n) for n in range(200)))
    rows = await engine.rows("SELECT (output->>'n')::int AS n FROM executions WHERE status = 'COMPLETED'")
    assert sorted(row["n"] for row in rows) == list(range(1, 201))
