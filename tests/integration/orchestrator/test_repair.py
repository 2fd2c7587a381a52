"""Time that has come: lost workers, timeouts, back-offs, deadlines. Nobody has to ask for any of it."""

from datetime import timedelta
from typing import Any

import pytest
from service_kit.errors import resource_exhausted
from testkit import eventually

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    status_of,
    task_of,
    task_status,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
ONCE = {"maximum_attempts": 1}


def task(**fields: Any) -> dict[str, Any]:
    return {**ONE_TASK, **fields}


@pytest.fixture
async def impatient(launch: Launch) -> Service:
    """Leases last a second; and so long after the start of Postgres nobody's time is over."""
    return await launch(lease_ttl=1.0)


async def test_an_expired_lease_is_taken_back_and_a_late_success_is_stale(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(task(retry_policy=ONCE))
    async with ScriptedWorker(impatient.workers, hello("silent"), credits=1) as silent:
        id_ = (await impatient.start()).execution_id
        lost = await silent.lease()
        async with ScriptedWorker(impatient.workers, hello("other"), credits=1) as other:
            lease = await other.lease()
            assert lease.attempt == 2
            assert lease.task.epoch >= lost.task.epoch + 2  # one for the revoke, one for the claim
            await silent.succeed(lost, output="late")
            assert await silent.ack(lost) == "STALE"
            await other.succeed(lease, output="good")
            assert await other.ack(lease) == "RECORDED"

    done = await impatient.get(id_)

    assert task_of(done, "only").output.string_value == "good"
    assert attempt_statuses(task_of(done, "only")) == ["LOST", "SUCCEEDED"]
    assert task_of(done, "only").attempts[0].failure.type == "WorkerLost"


async def test_a_lease_that_is_renewed_does_not_expire(impatient: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)

    async with ScriptedWorker(impatient.workers, hello(), credits=1) as worker:
        id_ = (await impatient.start()).execution_id
        lease = await worker.lease()
        (before,) = await impatient.rows("SELECT lease_expire_time FROM task_runs")
        over = False
        while not over:
            assert (await worker.heartbeat(lease, alive=False)).stale == []
            (row,) = await impatient.rows(
                "SELECT clock_timestamp() > $1::timestamptz + interval '0.5 s' AS over",
                before["lease_expire_time"],
            )
            over = row["over"]
        await worker.succeed(lease)
        assert await worker.ack(lease) == "RECORDED"

    assert "TASK_REQUEUED" not in await impatient.event_types(id_)


async def test_a_poison_task_fails_when_the_budget_of_lost_workers_is_gone(
    impatient: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(task(retry_policy={**ONCE, "maximum_lost_attempts": 1}))
    async with ScriptedWorker(impatient.workers, hello(), credits=5) as worker:
        id_ = (await impatient.start()).execution_id
        await worker.leases(2)
        failed = await impatient.becomes(id_, "FAILED")

    assert failed.failure.type == "WorkerLost"
    assert failed.failure.retry_state == "lost attempts exhausted"
    assert attempt_statuses(task_of(failed, "only")) == ["LOST", "LOST"]


async def test_start_to_close_times_out_also_on_attempt_two(impatient: Service, catalog: FakeCatalog) -> None:
    service = impatient
    policy = {"maximum_attempts": 2, "initial_interval": "0.001s"}
    catalog.publish(task(retry_policy=policy, timeouts={"start_to_close": "0.3s"}))

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        id_ = (await service.start()).execution_id
        first = await worker.lease()
        await worker.stop_of(first, "REVOKED", timeout=3)
        second = await worker.lease()
        assert second.attempt == 2
        await worker.heartbeat(second)  # does not help
        failed = await service.becomes(id_, "FAILED")
        for lease in (first, second):
            await worker.succeed(lease)
            assert await worker.ack(lease) == "STALE"

    assert (failed.failure.type, failed.failure.attempt) == ("StartToCloseTimeout", 2)
    assert attempt_statuses(task_of(failed, "only")) == ["TIMED_OUT", "TIMED_OUT"]


async def test_a_silent_handler_times_out_though_its_worker_lives(
    impatient: Service, catalog: FakeCatalog
) -> None:
    service = impatient
    catalog.publish(task(retry_policy=ONCE, timeouts={"heartbeat": "0.5s"}))
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        assert lease.heartbeat_timeout.ToTimedelta() == timedelta(seconds=0.5)
        (claimed,) = await service.rows("SELECT silence_time FROM task_runs")
        await worker.heartbeat(lease, alive=True)
        (renewed,) = await service.rows("SELECT silence_time FROM task_runs")
        assert renewed["silence_time"] > claimed["silence_time"]

        async def noticed() -> None:
            assert (await worker.heartbeat(lease, alive=False)).stale == [lease.task]

        await eventually(noticed, interval=0.05)
        failed = await service.get(id_)
    assert (status_of(failed), failed.failure.type) == ("FAILED", "HeartbeatTimeout")


async def test_a_failed_attempt_backs_off_and_comes_back(service: Service, catalog: FakeCatalog) -> None:
    policy = {"maximum_attempts": 3, "initial_interval": "0.4s", "jitter": 0, "backoff_coefficient": 1}
    catalog.publish(task(retry_policy=policy))
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        await worker.fail(lease)
        await worker.ack(lease)
        waiting = await service.get(id_)
        backing_off = task_of(waiting, "only")
        assert (task_status(backing_off), backing_off.failure.type) == ("BACKING_OFF", "Boom")
        assert backing_off.HasField("next_attempt_time")
        assert waiting.task_counts.running == 0
        again = await worker.lease()
        assert again.attempt == 2
        await worker.succeed(again)
        done = await service.becomes(id_, "COMPLETED")
    first, second = task_of(done, "only").attempts

    waited = second.start_time.ToDatetime() - first.end_time.ToDatetime()

    assert waited >= timedelta(seconds=0.4)
    assert attempt_statuses(task_of(done, "only")) == ["FAILED", "SUCCEEDED"]


async def test_an_error_that_another_attempt_can_not_help_is_not_retried(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(task(retry_policy={"non_retryable_error_types": ["BadOrder"]}))
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for failure in ({"type_": "BadOrder"}, {"non_retryable": True}):
            id_ = (await service.start()).execution_id
            await worker.fail(await worker.lease(), **failure)
            failed = await service.becomes(id_, "FAILED")
            assert failed.failure.retry_state == "non-retryable"


async def test_an_execution_times_out_and_its_worker_is_told(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK, execution_timeout="1s")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        failed = await service.becomes(id_, "FAILED")
        await worker.stop_of(lease, "REVOKED")

    assert (failed.failure.type, failed.final) == ("ExecutionTimeout", True)
    assert attempt_statuses(task_of(failed, "only")) == ["CANCELLED"]


async def test_a_task_that_nobody_takes_in_time_fails_with_advice(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(task(timeouts={"schedule_to_start": "0.2s"}))
    id_ = (await service.start()).execution_id
    failed = await service.becomes(id_, "FAILED")
    assert failed.failure.type == "ScheduleToStartTimeout"
    assert "start workers that have `noop`" in failed.failure.message

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        catalog.publish(ONE_TASK, workflow_id="next")
        following = await service.start(workflow_id="next")

        assert (await worker.lease()).task.execution_id == following.execution_id  # the old hint is nothing


async def test_the_queue_timeout_of_the_settings_holds_where_a_definition_says_nothing(
    launch: Launch, catalog: FakeCatalog
) -> None:
    service = await launch(queue_timeout=0.2, retry_attempts=0)
    catalog.publish(ONE_TASK)
    catalog.publish(task(timeouts={"schedule_to_start": "60s"}), workflow_id="patient")
    impatient, patient = await service.start(), await service.start(workflow_id="patient")
    failed = await service.becomes(impatient.execution_id, "FAILED")
    assert failed.failure.type == "ScheduleToStartTimeout"

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.fail(await worker.lease())
        failed = await service.becomes(patient.execution_id, "FAILED")

    assert failed.failure.retry_state == "attempts exhausted"  # RETRY_ATTEMPTS=0: no retry


async def test_time_stands_still_while_an_execution_is_paused_and_timers_fire_once_after_it(
    service: Service, catalog: FakeCatalog
) -> None:
    policy = {"maximum_attempts": 2, "initial_interval": "0.3s", "jitter": 0}
    catalog.publish(task(retry_policy=policy, timeouts={"schedule_to_start": "0.5s"}), execution_timeout="1s")
    catalog.publish(ONE_TASK, workflow_id="clock", execution_timeout="1s")

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        await worker.fail(lease)
        await worker.ack(lease)
        await service.pause(id_)
        clock = (await service.start(workflow_id="clock")).execution_id
        await service.becomes(clock, "FAILED")  # so long is longer than any deadline of the paused one
        paused = await service.get(id_)
        assert (status_of(paused), task_status(task_of(paused, "only"))) == ("PAUSED", "BACKING_OFF")
        await service.resume(id_)
        leases = [lease for lease in await worker.leases(2) if lease.task.execution_id == id_]
        assert [lease.attempt for lease in leases] == [2]
        await worker.succeed(*leases)
        await service.becomes(id_, "COMPLETED")

    assert (await service.event_types(id_)).count("TASK_RETRY_SCHEDULED") == 1


async def test_timers_go_on_after_an_overload_and_after_a_defect(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.publish(task(timeouts={"schedule_to_start": "0.5s"}))
    id_ = (await service.start()).execution_id
    submit, due_tasks = service.orchestrator.pipeline.submit, service.orchestrator.upkeep.due_tasks
    trouble = ["overload", "defect", "overload"]

    def overloaded(work: Any) -> Any:
        if trouble and trouble.pop() == "overload":
            raise resource_exhausted("OVERLOADED", "too much")
        return submit(work)

    async def defective(*arguments: Any, **named: Any) -> Any:
        if trouble[-1:] == ["defect"]:
            trouble.pop()
            raise KeyError("a defect")
        return await due_tasks(*arguments, **named)

    monkeypatch.setattr(service.orchestrator.pipeline, "submit", overloaded)
    monkeypatch.setattr(service.orchestrator.upkeep, "due_tasks", defective)
    await service.becomes(id_, "FAILED")
    assert trouble == []
