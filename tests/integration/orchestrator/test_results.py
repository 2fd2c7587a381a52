"""Results, heartbeats and the fence: over the stream, and over the unary methods."""

from typing import Any

from testkit import eventually
from workflowsystem.type.v1.failure_pb2 import Failure
from workflowsystem.worker.v1 import task_pb2

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello, result_of
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    plain,
    status_of,
    task_of,
)

ONCE = {"maximum_attempts": 1}
ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": ONCE}
SECOND = {"id": "second", "type": "noop", "needs": ["only"]}
LIMIT_BYTES = 1024 * 1024


async def test_a_report_of_an_older_epoch_is_stale_and_changes_nothing(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        before = await service.everything()
        for changes in ({"epoch": lease.task.epoch - 1}, {"epoch": lease.task.epoch + 1}, {"task_id": "no"}):
            result = result_of(lease, **changes)
            await worker.report(result)
            assert await worker.ack(result) == "STALE"
        nowhere = result_of(lease, execution_id="01900000-0000-7000-8000-000000000000")

        await worker.report(nowhere)

        assert await worker.ack(nowhere) == "STALE"
        assert await service.everything() == before


async def test_a_repeated_report_is_acknowledged_and_changes_nothing(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, SECOND, output="${tasks.only.output}")

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        first = await worker.lease()
        await worker.succeed(first, output="first")
        second = await worker.lease()
        before = await service.everything()
        for _ in range(2):
            await worker.report(result_of(first, b'"another"'))
        await eventually(lambda: sum(len(acks.acks) for acks in worker.all("result_acks")) == 3)
        assert await worker.ack(first) == "RECORDED"
        assert await service.everything() == before
        await worker.succeed(second)
        done = await service.becomes(started.execution_id, "COMPLETED")

    assert plain(done.output) == "first"


async def test_an_output_that_can_not_be_kept_is_a_recorded_failure_of_the_attempt(
    service: Service, catalog: FakeCatalog
) -> None:
    """Never INTERNAL, and never tried again for ever: it would fail again."""
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 5}})
    bad = {
        b"{not json": "PayloadInvalid",
        b'"\xff"': "PayloadInvalid",
        b"": "PayloadInvalid",
        b'"a\\u0000b"': "PayloadInvalid",
        b'"a\x00b"': "PayloadInvalid",
        b'"\\ud800"': "PayloadInvalid",
        b"NaN": "PayloadInvalid",
        b'{"x":1e999}': "PayloadInvalid",
        b"[-1e400]": "PayloadInvalid",
        b"[9007199254740993]": "PayloadInvalid",
        b'{"a":1,"a":1}': "PayloadInvalid",
        b"[" * 200 + b"]" * 200: "PayloadInvalid",
        b"[" * 100_000: "PayloadInvalid",
        b'"' + b"x" * LIMIT_BYTES + b'"': "PayloadTooLarge",
    }

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for output, type_ in bad.items():
            started = await service.start()
            lease = await worker.lease()
            await worker.succeed(lease, output=output)
            assert await worker.ack(lease) == "REJECTED"
            failed = await service.get(started.execution_id)
            assert (status_of(failed), failed.failure.type) == ("FAILED", type_), output[:20]
            assert (failed.failure.non_retryable, failed.failure.retry_state) == (True, "non-retryable")
            assert "output" in failed.failure.message


async def test_outputs_at_the_edge_are_kept_as_they_came(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    texts = [
        b"null",
        b" [1, 2.50] ",
        '"\\ud83d\\ude00 ü"'.encode(),
        b'"\\\\u0000"',
        b"[" * 30 + b"]" * 30,
        b'"' + b"x" * (LIMIT_BYTES - 2) + b'"',
        b"9007199254740992",
    ]
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for text in texts:
            started = await service.start()
            lease = await worker.lease()
            await worker.succeed(lease, output=text)
            assert await worker.ack(lease) == "RECORDED", text[:20]
            await service.get(started.execution_id)

    stored = await service.rows("SELECT output::text FROM task_runs ORDER BY execution_id")

    assert [row["output"].encode() for row in stored] == texts


async def test_a_failure_is_kept_with_its_texts_cut_to_what_is_kept(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        long = Failure(type="T\x00" + "T" * 300, message="m\x00" + "x" * 40_000, details="d" * 40_000)
        await worker.report(task_pb2.TaskResult(task=lease.task, failure=long))
        assert await worker.ack(lease) == "RECORDED"

    failure = (await service.get(started.execution_id)).failure

    assert (len(failure.type), len(failure.details)) == (256, 32 * 1024)
    assert 32_000 < len(failure.message) <= 32 * 1024
    assert "\x00" not in failure.type + failure.message
    assert (failure.task_id, failure.attempt, failure.retry_state) == ("only", 1, "attempts exhausted")


async def test_heartbeats_renew_and_name_what_is_stale(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        first, second = (await service.start()).execution_id, (await service.start()).execution_id
        leases = {lease.task.execution_id: lease for lease in await worker.leases(2)}
        await service.cancel(second, grace_seconds=0)
        acks = await worker.heartbeat(*leases.values(), progress=b'{"done": 3}')

        assert list(acks.stale) == [leases[second].task]
        assert plain(task_of(await service.get(first), "only").progress) == {"done": 3}


async def test_progress_that_can_not_be_kept_is_no_news_and_renews_all_the_same(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        await worker.heartbeat(lease, progress=b'"good"')
        for bad in (b"1e999", b"{", b"\xff", b'"\\ud800"', b'"\x00"', b'"' + b"x" * 5000 + b'"'):
            assert (await worker.heartbeat(lease, progress=bad)).stale == []
            progress = task_of(await service.get(started.execution_id), "only").progress
            assert plain(progress) == "good", bad[:10]


async def test_a_cancelled_outcome_that_nobody_asked_for_is_charged_to_the_retries(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        cancelled = task_pb2.TaskResult(task=lease.task, cancelled=task_pb2.TaskCancelled())
        await worker.report(cancelled)
        assert await worker.ack(lease) == "RECORDED"

    failed = await service.get(started.execution_id)

    assert (status_of(failed), failed.failure.type) == ("FAILED", "HandlerCancelled")
    assert attempt_statuses(task_of(failed, "only")) == ["CANCELLED"]
