"""Pause, resume, cancel and release while the engine cannot decide an execution."""

from typing import Any

import grpc
import pytest

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.damage import PATIENCE_SECONDS, delete_definition, put_back, quarantined
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, refusal, short_pauses, status_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
CHAIN = [ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]}]
pytestmark = short_pauses


@pytest.mark.parametrize("wait_for_the_quarantine", [False, True])
async def test_pause_and_cancel_work_while_nobody_can_read_the_definition(
    service: Service, catalog: FakeCatalog, wait_for_the_quarantine: bool
) -> None:
    catalog.publish(*CHAIN, workflow_id="damaged")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    await delete_definition(service)
    if wait_for_the_quarantine:
        async with ScriptedWorker(service.workers, hello(), credits=1):
            await quarantined(service, id_)
    assert status_of(await service.pause(id_)) == "PAUSED"
    assert status_of(await service.resume(id_)) == "PENDING"
    cancelled = await service.cancel(id_, reason="it is damaged")
    assert (status_of(cancelled), cancelled.HasField("quarantine")) == ("CANCELLED", False)

    error = await refusal(service.release(id_))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXECUTION_STATUS_CONFLICT")


async def test_a_cancel_with_a_grace_ends_a_quarantined_execution_at_its_deadline(
    launch: Any, catalog: FakeCatalog
) -> None:
    service = await launch(lease_ttl=1.0)
    catalog.publish(*CHAIN, workflow_id="damaged")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.lease()
        await delete_definition(service)
        await quarantined(service, id_)
        cancelling = await service.cancel(id_, grace_seconds=0.5)
        assert (status_of(cancelling), cancelling.HasField("quarantine")) == ("RUNNING", True)
        await service.becomes(id_, "CANCELLED", PATIENCE_SECONDS)

    (row,) = await service.rows("SELECT count(*) AS left FROM task_runs WHERE frozen IS NOT NULL")

    assert row["left"] == 0


async def test_a_resume_that_cannot_be_decided_is_refused_with_what_to_do(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, workflow_id="damaged", output="${tasks.only.output}")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        lease = await worker.lease()
        await service.pause(id_)
        await worker.succeed(lease)
        await worker.ack(lease)
    definition = await delete_definition(service)
    before = await service.everything()
    error = await refusal(service.resume(id_))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXECUTION_UNDECIDABLE")
    assert "version 1 of `damaged` is not in the database" in error.message
    assert "ReleaseExecution" in error.message
    assert await service.everything() == before

    await put_back(service, definition)

    assert status_of(await service.resume(id_)) == "COMPLETED"


async def test_a_release_of_what_does_not_exist_is_refused_and_of_what_runs_a_no_op(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    running = await service.start()
    assert (await service.release(running.execution_id)).state_version == running.state_version
    error = await refusal(service.release("01900000-0000-7000-8000-000000000000"))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
    error = await refusal(service.release(running.execution_id, namespace="team-a"))
    assert error.reason == "EXECUTION_NOT_FOUND"

    error = await refusal(service.release(running.execution_id, reason="x" * 1025))

    assert error.violations[0].field == "reason"
