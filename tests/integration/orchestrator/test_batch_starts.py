"""BatchStartExecutions: each item answers for itself."""

import asyncio
from typing import Any

import grpc
from google.rpc import error_details_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.service import Service, refusal, start_request, status_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}"}
INVALID, NOT_FOUND, EXISTS, PRECONDITION = (
    getattr(grpc.StatusCode, name).value[0]
    for name in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION")
)


async def batch(service: Service, *requests: pb.StartExecutionRequest) -> list[Any]:
    response = await service.executions.BatchStartExecutions(
        pb.BatchStartExecutionsRequest(requests=requests)
    )
    assert len(response.results) == len(requests)
    return list(response.results)


def reason_of(status: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


async def test_good_and_bad_items_are_answered_each_for_itself_and_in_order(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, input_schema={"type": "object", "maxProperties": 1})
    catalog.publish({**ONE_TASK, "type": "unheard.of"}, workflow_id="unknown-type")
    catalog.publish(ONE_TASK, workflow_id="resting")
    catalog.set_status("INACTIVE", "resting")
    first = await service.start({"n": 1}, request_id="one")
    results = await batch(
        service,
        start_request({"n": 1}, request_id="one"),
        start_request({"n": 1, "m": 2}),
        start_request(workflow_id="nowhere"),
        start_request(workflow_id="unknown-type"),
        start_request({"n": 1}, request_id="one"),
        start_request({"n": 2}, request_id="one"),
        start_request(workflow_id="resting"),
        start_request({"text": "x" * 1024 * 1024}),
        start_request({"n": 3}),
    )
    kinds = [
        result.execution.execution_id or (result.error.code, reason_of(result.error)) for result in results
    ]
    assert kinds[0] == kinds[4] == first.execution_id != kinds[8]
    assert kinds[1:4] + kinds[5:8] == [
        (INVALID, "INPUT_SCHEMA_VIOLATION"),
        (NOT_FOUND, "WORKFLOW_NOT_FOUND"),
        (PRECONDITION, "TASK_TYPE_UNKNOWN"),
        (EXISTS, "REQUEST_ID_REUSED"),
        (PRECONDITION, "WORKFLOW_NOT_ACTIVE"),
        (INVALID, "PAYLOAD_TOO_LARGE"),
    ]

    stored = {str(row["id"]) for row in await service.rows("SELECT id FROM executions")}

    assert stored == {kinds[0], kinds[8]}
    assert results[8].execution.consistency_token
    assert await service.queue_length() == 2


async def test_a_thousand_starts_cost_one_question_to_the_catalog_and_a_few_commits(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    results = await batch(service, *(start_request({"n": number}) for number in range(1000)))
    assert {status_of(result.execution) for result in results} == {"PENDING"}
    assert len(catalog.requests["BatchGetWorkflowVersions"]) == 1
    commits = await service.rows("SELECT count(DISTINCT xmin::text) AS n FROM executions")
    assert commits[0]["n"] <= 8
    numbers = await service.rows("SELECT (input->>'n')::int AS n FROM executions ORDER BY 1")

    assert [row["n"] for row in numbers] == list(range(1000))


async def test_a_batch_out_of_bounds_is_refused_as_a_whole(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)

    for requests, field in (
        ([], "requests"),
        ([start_request()] * 1001, "requests"),
        ([start_request(), start_request(workflow_id="My Flow")], "requests[1].workflow_id"),
        ([start_request({"a": "\x00"})], "requests[0].input.a"),
    ):
        call = service.executions.BatchStartExecutions(pb.BatchStartExecutionsRequest(requests=requests))
        error = await refusal(call)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.violations[0].field == field

    assert await service.rows("SELECT 1 FROM executions") == []


async def test_a_defect_in_one_start_fails_no_other_and_its_text_stays_inside(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish({**ONE_TASK, "needs": ["nobody"]}, workflow_id="broken")  # the real catalog refuses it
    broken, good = await batch(service, start_request(workflow_id="broken"), start_request())

    assert reason_of(broken.error) == "INTERNAL"
    assert "nobody" not in broken.error.message
    assert status_of(good.execution) == "PENDING"


async def test_batches_with_the_same_request_ids_at_the_same_time_start_each_once(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    requests = [start_request({"n": number}, request_id=f"r{number}") for number in range(40)]
    answers = await asyncio.gather(
        batch(service, *requests), batch(service, *reversed(requests)), batch(service, *requests)
    )
    ids = [[result.execution.execution_id for result in results] for results in answers]

    assert ids[0] == ids[1][::-1] == ids[2]
    assert len(set(ids[0])) == 40
    assert "" not in ids[0]
    assert len(await service.rows("SELECT 1 FROM executions")) == 40
