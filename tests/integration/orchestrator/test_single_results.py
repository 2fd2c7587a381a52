"""A result or a heartbeat that is wrong in itself is answered by itself: the session goes on, and so do its
neighbours.
"""

from typing import Any

from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import NO_CLAIMS, ScriptedWorker, hello, result_of
from tests.integration.orchestrator.service import Service, status_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "retry_policy": {"maximum_attempts": 1}}


async def test_one_bad_result_does_not_keep_its_neighbours_from_being_recorded(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)

    async with ScriptedWorker(service.workers, hello(), credits=5) as worker:
        ids = [(await service.start()).execution_id for _ in range(5)]
        leases = {lease.task.execution_id: lease for lease in await worker.leases(5)}
        outputs = [b"1", b"{", b"2", b"\x00", b"3"]
        await worker.report(
            *(result_of(leases[id_], output) for id_, output in zip(ids, outputs, strict=True))
        )
        statuses = [await worker.ack(leases[id_]) for id_ in ids]

    assert statuses == ["RECORDED", "REJECTED", "RECORDED", "REJECTED", "RECORDED"]


async def test_a_result_that_names_no_claim_is_stale_and_its_neighbours_are_recorded(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await service.start()
        first, last = await worker.leases(2)
        bad = [result_of(first, **task) for task in NO_CLAIMS]
        await worker.report(result_of(first), *bad, result_of(last))

        assert [await worker.ack(each) for each in bad] == ["STALE"] * len(bad)
        assert [await worker.ack(each) for each in (first, last)] == ["RECORDED", "RECORDED"]


async def test_a_heartbeat_that_names_no_claim_is_stale_and_its_neighbours_are_renewed(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        bad = [result_of(lease, **task) for task in NO_CLAIMS]
        acks = await worker.heartbeat(*bad, lease)

        assert list(acks.stale) == [each.task for each in bad]


async def test_a_reference_that_would_fill_the_answer_is_answered_without_it(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        await worker.report(result_of(lease, task_id="x" * 4_000_000))
        assert await worker.ack(task_pb2.TaskResult(task=task_pb2.TaskRef())) == "STALE"
        await worker.succeed(lease)

        assert await worker.ack(lease) == "RECORDED"


async def test_a_result_without_an_outcome_is_a_recorded_failure_of_the_attempt(
    service: Service, catalog: FakeCatalog
) -> None:
    """A worker of a later release may send an outcome that this orchestrator does not know."""
    catalog.publish(ONE_TASK)
    unknown_field = b"\xa2\x06\x00"  # number 100, empty

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for extra in (b"", unknown_field):
            started = await service.start()
            lease = await worker.lease()
            result = task_pb2.TaskResult(task=lease.task)
            result.MergeFromString(extra)
            await worker.report(result)
            assert await worker.ack(lease) == "REJECTED"
            failed = await service.get(started.execution_id)
            assert (status_of(failed), failed.failure.type) == ("FAILED", "PayloadInvalid")
            assert "`output`" in failed.failure.message


async def test_more_results_than_the_contract_allows_are_each_answered(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start()
        lease = await worker.lease()
        stale = [result_of(lease, epoch=100 + number) for number in range(1_500)]
        await worker.report(*stale, result_of(lease))

        assert await worker.ack(lease) == "RECORDED"
        assert await worker.ack(stale[-1]) == "STALE"


async def test_a_result_of_an_execution_that_can_not_be_decided_gets_its_own_status(
    service: Service, catalog: FakeCatalog
) -> None:
    """Its definition can no longer be read. The session stays, and other results are recorded."""
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, workflow_id="other")

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        broken = await service.start()
        await service.start(workflow_id="other")
        leases = {lease.workflow_id: lease for lease in await worker.leases(2)}
        await service.rows("DELETE FROM definitions WHERE workflow_id = 'flow'")
        service.orchestrator.plans._plans._entries.clear()
        before = await service.rows(
            "SELECT * FROM task_runs WHERE execution_id = $1::text::uuid", broken.execution_id
        )
        await worker.succeed(*leases.values())
        assert await worker.ack(leases["flow"]) == "UNDECIDED"
        assert await worker.ack(leases["other"]) == "RECORDED"
        after = await service.rows(
            "SELECT * FROM task_runs WHERE execution_id = $1::text::uuid", broken.execution_id
        )
        assert before == after
        request = pb.ReportTasksRequest(results=[result_of(leases["flow"]), result_of(leases["other"])])

        acks = (await service.workers.ReportTasks(request)).acks

        assert [ack.status for ack in acks] == [
            task_pb2.RESULT_STATUS_UNDECIDED,
            task_pb2.RESULT_STATUS_RECORDED,
        ]


async def test_a_result_that_postgres_refuses_is_rejected_and_fails_its_attempt(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    refuse = "ALTER TABLE task_runs ADD CONSTRAINT refused CHECK (output::text <> '\"refused\"')"
    await service.rows(refuse)

    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        for _ in range(2):
            await service.start()
        bad, good = await worker.leases(2)
        await worker.report(result_of(bad, b'"refused"'), result_of(good, b'"kept"'))
        assert await worker.ack(bad) == "REJECTED"
        assert await worker.ack(good) == "RECORDED"
        failed = await service.get(bad.task.execution_id)

        assert (status_of(failed), failed.failure.type) == ("FAILED", "PayloadInvalid")
