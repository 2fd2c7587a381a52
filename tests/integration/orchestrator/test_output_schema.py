"""A success whose output breaks the task's output_schema is a failed attempt, and is not tried again."""

import json
from typing import Any

import pytest
from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.domain import payloads
from execution_orchestrator.domain.commands import ReportTask
from testkit import eventually
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    attempt_statuses,
    plain,
    status_of,
    task_of,
    task_status,
)

ORDER = {
    "type": "object",
    "required": ["total"],
    "properties": {"total": {"type": "integer", "minimum": 1}, "code": {"pattern": "^[A-Z]+$"}},
}
CHARGE: dict[str, Any] = {
    "id": "charge",
    "type": "noop",
    "output_schema": ORDER,
    "retry_policy": {"maximum_attempts": 5},
}
AFTER = {"id": "after", "type": "noop", "needs": ["charge"]}


async def test_an_output_that_fits_is_a_success(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(CHARGE, output="${tasks.charge.output}")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        await worker.succeed(await worker.lease(), output={"total": 3, "code": "ABC"})
        done = await service.becomes(started.execution_id, "COMPLETED")

    assert plain(done.output) == {"total": 3, "code": "ABC"}


@pytest.mark.parametrize(
    ("output", "path", "rule"),
    [
        ({"total": 0}, "output.total: 0 is less than the minimum of 1", "properties/total/minimum"),
        ({"total": 1, "code": "a"}, 'output.code: "a" does not match', "properties/code/pattern"),
        ({}, 'output: "total" is a required property', "required"),
        (None, 'output: null is not of type "object"', "type"),
        (["x" * 100_000], "output: ", "type"),
    ],
)
async def test_an_output_that_breaks_it_fails_the_task_with_path_rule_and_next_step(
    service: Service, catalog: FakeCatalog, output: Any, path: str, rule: str
) -> None:
    """Not retried, as the handler would give the same again; nothing that needs it runs."""
    catalog.publish(CHARGE, AFTER)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        await worker.succeed(lease, output=output)
        assert await worker.ack(lease) == "REJECTED"
        failed = await service.becomes(started.execution_id, "FAILED")
    failure = failed.failure
    assert (failure.type, failure.task_id, failure.attempt) == ("OutputSchemaViolation", "charge", 1)
    assert (failure.non_retryable, failure.retry_state) == (True, "non-retryable")
    assert f"task `charge` breaks its output_schema: {path}" in failure.message
    assert f"(rule `{rule}`); correct the handler" in failure.message
    assert len(failure.message) < 1_000

    charge = task_of(failed, "charge")

    assert (task_status(charge), attempt_statuses(charge), plain(charge.output)) == (
        "FAILED",
        ["FAILED"],
        None,
    )
    assert task_status(task_of(failed, "after")) == "CANCELLED"


async def test_further_violations_are_in_the_details(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(CHARGE)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        await worker.succeed(await worker.lease(), output={"total": "many", "code": "a"})
        failed = await service.becomes(started.execution_id, "FAILED")
    told = failed.failure.message + failed.failure.details

    assert "output.total" in told
    assert "output.code" in told


async def test_a_repeat_of_the_report_changes_nothing(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(CHARGE)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        lease = await worker.lease()
        await worker.succeed(lease, output={})
        await service.becomes(started.execution_id, "FAILED")
        before = await service.everything()
        for output in ({}, {"total": 1}):
            await worker.succeed(lease, output=output)

        await eventually(lambda: sum(len(acks.acks) for acks in worker.all("result_acks")) == 3)

        assert await worker.ack(lease) == "RECORDED"
        assert await service.everything() == before


async def test_the_unary_report_is_checked_in_the_same_way(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(CHARGE)
    started = await service.start()
    request = pb.LeaseTasksRequest(worker=hello(), max_tasks=1)
    (lease,) = (await service.workers.LeaseTasks(request)).leases
    result = task_pb2.TaskResult(task=lease.task, output=json.dumps({"total": -1}).encode())
    (ack,) = (await service.workers.ReportTasks(pb.ReportTasksRequest(results=[result]))).acks
    assert ack.status == task_pb2.RESULT_STATUS_REJECTED

    failed = await service.becomes(started.execution_id, "FAILED")

    assert failed.failure.type == "OutputSchemaViolation"


async def test_in_a_fan_out_the_schema_is_of_one_items_output(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(
        {**CHARGE, "for_each": {"items": "${input.items}"}}, AFTER, output="${tasks.charge.output}"
    )

    async with ScriptedWorker(service.workers, hello(), credits=10) as worker:
        good = await service.start({"items": [1, 2]})
        for lease in await worker.leases(2):
            await worker.succeed(lease, output={"total": json.loads(lease.input)})
        await worker.succeed(await worker.lease())
        done = await service.becomes(good.execution_id, "COMPLETED")
        assert plain(done.output) == [{"total": 1}, {"total": 2}]
        bad = await service.start({"items": [1, 0]})
        for lease in await worker.leases(2):
            await worker.succeed(lease, output={"total": json.loads(lease.input)})
        failed = await service.becomes(bad.execution_id, "FAILED")

    assert (failed.failure.type, failed.failure.task_id, failed.failure.item) == (
        "OutputSchemaViolation",
        "charge",
        1,
    )


async def test_an_output_that_is_no_payload_is_refused_for_itself(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(CHARGE)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for output in (b'{"total": "\\ud800"}', b"{", b"[" * 50 + b"]" * 50):
            started = await service.start()
            await worker.succeed(await worker.lease(), output=output)
            failed = await service.becomes(started.execution_id, "FAILED")
            assert failed.failure.type == "PayloadInvalid"


async def test_a_task_without_a_schema_gives_what_it_likes(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({"id": "charge", "type": "noop"})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        await worker.succeed(await worker.lease(), output=None)

        assert status_of(await service.becomes(started.execution_id, "COMPLETED")) == "COMPLETED"


async def test_neither_of_two_versions_checks_by_the_schema_of_the_other(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(CHARGE)
    catalog.publish({**CHARGE, "output_schema": {"type": "string"}})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        for version, output in ((1, {"total": 1}), (2, "text")):
            started = await service.start(version=version)
            await worker.succeed(await worker.lease(), output=output)
            await service.becomes(started.execution_id, "COMPLETED")


async def test_an_output_is_parsed_once_and_before_the_batch(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision reads it for the schema, for the next task and for the output of the workflow."""
    after = {**AFTER, "input": {"all": "${input.all}", "total": "${tasks.charge.output.total}"}}
    catalog.publish(CHARGE, after)
    places: list[str] = []
    parse, submit = payloads.parse, Pipeline.submit

    def parsed(text: str, what: str, levels: int) -> Any:
        if what == "output":
            places.append("parsed")
        return parse(text, what, levels)

    def submitted(pipeline: Pipeline, work: Any) -> Any:
        if isinstance(getattr(work, "command", None), ReportTask):
            places.append("submitted")
        return submit(pipeline, work)

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await service.start({"all": [1]})
        lease = await worker.lease()
        monkeypatch.setattr(payloads, "parse", parsed)
        monkeypatch.setattr(Pipeline, "submit", submitted)
        await worker.succeed(lease, output={"total": 3})
        assert await worker.ack(lease) == "RECORDED"
    assert places == ["parsed", "submitted"]


@pytest.mark.parametrize(("last", "status"), [(999, "COMPLETED"), (-1, "FAILED")])
async def test_a_large_output_is_checked_in_another_process(
    service: Service, catalog: FakeCatalog, last: int, status: str
) -> None:
    sizes = {"items": {"enum": [{"k": i} for i in range(1_000)]}}
    catalog.publish({**CHARGE, "output_schema": sizes})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        started = await service.start()
        await worker.succeed(await worker.lease(), output=[{"k": 999}] * 1_000 + [{"k": last}])
        await service.becomes(started.execution_id, status)
