import asyncio
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf import struct_pb2
from testkit import FakeClock, eventually
from workflow_sdk import Client, ExecutionStatus, StartRequest
from workflow_sdk.calls import Caller
from workflow_sdk.errors import (
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from workflow_sdk.models import Execution, Quarantine
from workflow_sdk.payloads import PayloadError
from workflow_sdk.testing import FakeGateway, RefusedError
from workflow_sdk.testing.gateway import EXECUTION_ID as ID
from workflow_sdk.testing.gateway import execution, held
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2, workflow_pb2
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2, worker_pb2

UNAVAILABLE = RefusedError(grpc.StatusCode.UNAVAILABLE, "starting", "DRAINING")


async def test_a_start_sends_plain_json_and_returns_plain_python(
    gateway: FakeGateway, client: Client
) -> None:
    counts = execution_pb2.TaskCounts(total=3, running=1, succeeded=1, skipped=1)
    gateway.answers["StartExecution"] = [execution(task_counts=counts, output={"number_value": 4})]
    started = await client.start("orders", {"n": 1, "tags": ["a"]}, version=2, labels={"team": "x"})
    (request,) = gateway.requests["StartExecution"]
    assert (request.namespace, request.workflow_id, request.version) == ("shop", "orders", 2)
    assert dict(request.labels) == {"team": "x"}
    assert request.input["n"] == 1
    assert request.request_id
    assert (started.execution_id, started.status, started.output) == (ID, ExecutionStatus.RUNNING, 4)
    assert (started.task_counts.total, started.task_counts.ended) == (3, 2)
    assert started.failure is None


async def test_a_start_is_repeated_with_the_same_request_id_while_nobody_answers(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["StartExecution"] = [UNAVAILABLE, UNAVAILABLE, execution()]
    assert (await client.start("orders")).execution_id == ID
    ids = [request.request_id for request in gateway.requests["StartExecution"]]
    assert len(ids) == 3
    assert len(set(ids)) == 1


async def test_a_call_that_nobody_answers_in_its_time_is_unavailable(gateway: FakeGateway) -> None:
    gateway.answers["GetExecution"] = [UNAVAILABLE]
    async with Client.connect(gateway.address, timeout=0.3) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.get(ID)
    assert caught.value.reason == "DRAINING"
    assert len(gateway.requests["GetExecution"]) > 1


async def test_a_gateway_that_restarts_is_waited_for(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["GetExecution"] = [execution()]
    await gateway.stop()
    call = asyncio.create_task(client.get(ID))
    await asyncio.sleep(0)
    await gateway.start()
    assert (await call).execution_id == ID


async def test_cancelling_a_call_ends_it_here_and_does_not_repeat_it(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.answers["GetExecution"] = [asyncio.Event()]
    call = asyncio.create_task(client.get(ID))
    await eventually(lambda: len(gateway.requests["GetExecution"]) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_refusal_has_its_reason_and_is_not_repeated(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["StartExecution"] = [
        RefusedError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "workflow `orders` is INACTIVE; call ActivateWorkflow",
            "WORKFLOW_NOT_ACTIVE",
            status="INACTIVE",
        )
    ]
    with pytest.raises(PreconditionError, match="call ActivateWorkflow") as caught:
        await client.start("orders")
    assert (caught.value.reason, caught.value.metadata["status"]) == ("WORKFLOW_NOT_ACTIVE", "INACTIVE")
    assert len(gateway.requests["StartExecution"]) == 1


async def test_a_call_that_the_other_side_cancelled_is_sent_again(
    gateway: FakeGateway, client: Client
) -> None:
    """So gRPC itself ends calls that it has no room for."""
    gateway.answers["StartExecution"] = [RefusedError(grpc.StatusCode.CANCELLED, "", ""), execution()]
    assert (await client.start("orders")).execution_id == ID
    assert len(gateway.requests["StartExecution"]) == 2


async def test_a_bad_payload_is_refused_before_it_is_sent(gateway: FakeGateway, client: Client) -> None:
    with pytest.raises(PayloadError, match=r"input\.id"):
        await client.start("orders", {"id": 2**60})
    assert not gateway.requests["StartExecution"]


async def test_each_start_of_a_batch_answers_for_itself(gateway: FakeGateway, client: Client) -> None:
    refused = RefusedError(grpc.StatusCode.NOT_FOUND, "no workflow", "WORKFLOW_NOT_FOUND").status
    result = execution_service_pb2.BatchStartExecutionsResponse.Result
    gateway.answers["BatchStartExecutions"] = [
        execution_service_pb2.BatchStartExecutionsResponse(
            results=[result(execution=execution(consistency_token="1AA")), result(error=refused)]
        )
    ]
    first, second = await client.start_batch([StartRequest("orders", {"n": 1}), StartRequest("nothing")])
    assert isinstance(first, Execution)
    assert isinstance(second, NotFoundError)
    assert client.consistency_token == "1AA"


async def test_reads_carry_the_token_of_what_this_client_did(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["PauseExecution"] = [execution(consistency_token="2")]
    gateway.answers["GetExecution"] = [execution()]
    await client.get(ID)
    await client.pause(ID)
    await client.get(ID)
    await client.get(ID, strong=True)
    before, after, strong = [request.read_consistency for request in gateway.requests["GetExecution"]]
    assert before.WhichOneof("requirement") is None
    assert after.consistency_token == "2"
    assert strong.level == strong.LEVEL_STRONG


async def test_an_answer_that_was_overtaken_does_not_replace_a_newer_token(
    gateway: FakeGateway, client: Client
) -> None:
    """Both calls are under way at the same time; the one with the older commit is answered last."""
    overtaken = asyncio.Event()
    gateway.answers["PauseExecution"] = [held(overtaken, execution(consistency_token="1a"))]
    gateway.answers["ResumeExecution"] = [execution(consistency_token="1b")]
    first = asyncio.create_task(client.pause(ID))
    await eventually(lambda: len(gateway.requests["PauseExecution"]) == 1)
    await client.resume(ID)
    overtaken.set()
    await first
    assert client.consistency_token == "1b"


async def test_a_smaller_token_of_a_later_call_is_taken(gateway: FakeGateway, client: Client) -> None:
    """A service that got another database begins with smaller tokens again."""
    gateway.answers["PauseExecution"] = [
        execution(consistency_token="2"),
        execution(consistency_token="1FF"),
    ]
    await client.pause(ID)
    await client.pause(ID)
    assert client.consistency_token == "1FF"


async def test_a_batch_leaves_its_newest_token(gateway: FakeGateway, client: Client) -> None:
    result = execution_service_pb2.BatchStartExecutionsResponse.Result
    tokens = ["1AA", "1CC", "1BB"]
    gateway.answers["BatchStartExecutions"] = [
        execution_service_pb2.BatchStartExecutionsResponse(
            results=[result(execution=execution(consistency_token=token)) for token in tokens]
        )
    ]
    await client.start_batch([StartRequest("orders") for _ in tokens])
    assert client.consistency_token == "1CC"


async def test_each_service_gets_its_own_token_back(gateway: FakeGateway, client: Client) -> None:
    """The two services may have a database each: the greater token of one says nothing about the other."""
    gateway.answers["ActivateWorkflow"] = [workflow_pb2.Workflow(consistency_token="9")]
    gateway.answers["PauseExecution"] = [execution(consistency_token="1AA")]
    gateway.answers["GetWorkflow"] = [workflow_pb2.Workflow()]
    gateway.answers["GetExecution"] = [execution()]
    await client.activate_workflow("orders")
    await client.pause(ID)
    await client.get(ID)
    await client.get_workflow("orders")
    assert gateway.requests["GetExecution"][0].read_consistency.consistency_token == "1AA"
    assert gateway.requests["GetWorkflow"][0].read_consistency.consistency_token == "9"
    assert (client.consistency_token, client.catalog_consistency_token) == ("1AA", "9")


async def test_events_can_be_read_from_the_primary(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["ListExecutionEvents"] = [execution_service_pb2.ListExecutionEventsResponse()]
    assert [event async for event in client.events(ID)] == []
    assert [event async for event in client.events(ID, strong=True)] == []
    usual, strong = [request.read_consistency for request in gateway.requests["ListExecutionEvents"]]
    assert usual.WhichOneof("requirement") is None
    assert strong.level == strong.LEVEL_STRONG


async def test_lists_go_on_from_page_to_page(gateway: FakeGateway, client: Client) -> None:
    page = execution_service_pb2.ListExecutionsResponse
    gateway.answers["ListExecutions"] = [
        page(executions=[execution(), execution()], next_page_token="more"),
        page(executions=[execution(status=execution_pb2.EXECUTION_STATUS_FAILED)]),
    ]
    since = datetime(2030, 1, 1, tzinfo=UTC)
    found = [each async for each in client.list(statuses=[ExecutionStatus.FAILED], create_time_from=since)]
    assert [each.status for each in found] == ["Running", "Running", "Failed"]
    first, second = gateway.requests["ListExecutions"]
    assert first.statuses == [execution_pb2.EXECUTION_STATUS_FAILED]
    assert first.create_time_from.ToDatetime(UTC) == since
    assert (first.page_token, second.page_token) == ("", "more")


async def test_a_quarantine_is_shown_and_can_be_released(gateway: FakeGateway, client: Client) -> None:
    since = datetime(2030, 1, 1, tzinfo=UTC)
    quarantine = execution_pb2.Quarantine(reason="no definition", tries=5)
    quarantine.quarantine_time.FromDatetime(since)
    page = execution_service_pb2.ListExecutionsResponse
    gateway.answers["ListExecutions"] = [page(executions=[execution(quarantine=quarantine)])]
    gateway.answers["ReleaseExecution"] = [execution(consistency_token="1BB")]
    (found,) = [each async for each in client.list(quarantined=True)]
    assert found.quarantine == Quarantine("no definition", 5, since)
    assert gateway.requests["ListExecutions"][0].quarantined
    released = await client.release(ID, reason="restored")
    assert released.quarantine is None
    (request,) = gateway.requests["ReleaseExecution"]
    assert (request.namespace, request.execution_id, request.reason) == ("shop", ID, "restored")
    assert client.consistency_token == "1BB"


async def test_waiting_asks_again_until_the_execution_is_final(gateway: FakeGateway, client: Client) -> None:
    done = execution(status=execution_pb2.EXECUTION_STATUS_COMPLETED, final=True)
    gateway.answers["WaitExecution"] = [execution(), UNAVAILABLE, execution(), done]
    waited = await client.wait(ID)
    assert waited.status is ExecutionStatus.COMPLETED
    assert len(gateway.requests["WaitExecution"]) == 4


async def test_waiting_ends_at_the_timeout_and_says_so(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WaitExecution"] = [execution()]
    with pytest.raises(DeadlineError, match=r"not final after 0\.1 s"):
        await client.wait(ID, timeout=0.1)


async def test_a_service_that_waits_as_long_as_it_may_still_answers_before_the_timeout(
    gateway: FakeGateway, client: Client
) -> None:
    """Otherwise the client cannot tell it from a service that does not answer."""

    async def wait(request: execution_service_pb2.WaitExecutionRequest) -> execution_pb2.Execution:
        await asyncio.sleep(request.timeout.ToNanoseconds() / 1e9)
        return execution()

    gateway.answers["WaitExecution"] = [wait]
    with pytest.raises(DeadlineError, match=r"not final after 5 s"):
        await client.wait(ID, timeout=5)


@pytest.mark.parametrize(
    "silent", [False, True], ids=["nobody listens", "somebody listens and never answers"]
)
async def test_waiting_ends_at_the_timeout_also_if_nobody_answers(gateway: FakeGateway, silent: bool) -> None:
    gateway.answers["WaitExecution"] = [asyncio.Event()]
    if not silent:
        await gateway.stop()
    async with Client.connect(gateway.address, timeout=600) as client, asyncio.timeout(60):
        with pytest.raises(DeadlineError, match=r"no answer about execution .* within 1 s"):
            await client.wait(ID, timeout=1)
    if not silent:
        await gateway.start()


async def test_waiting_without_a_timeout_ends_if_nobody_answers_for_the_time_of_a_call(
    gateway: FakeGateway, clock: FakeClock
) -> None:
    gateway.answers["WaitExecution"] = [UNAVAILABLE]
    async with Client.connect(gateway.address) as client, asyncio.timeout(60):
        client._caller = Caller(timeout=0.3, monotonic=clock.monotonic, sleep=clock.advance)
        with pytest.raises(UnavailableError):
            await client.wait(ID)


async def test_a_short_absence_of_the_gateway_does_not_end_a_wait(
    gateway: FakeGateway, client: Client
) -> None:
    done = execution(status=execution_pb2.EXECUTION_STATUS_COMPLETED, final=True)
    gateway.answers["WaitExecution"] = [UNAVAILABLE] * 5 + [done]
    assert (await client.wait(ID, timeout=30)).status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize("field", ["create_time_from", "create_time_before"])
async def test_a_time_without_a_time_zone_is_refused(
    gateway: FakeGateway, client: Client, field: str
) -> None:
    naive = datetime(2030, 1, 1)
    with pytest.raises(InvalidRequestError, match=rf"{field} must have a time zone.*datetime\.now\(UTC\)"):
        async for _ in client.list(**{field: naive}):  # type: ignore[arg-type]
            pass
    assert not gateway.requests["ListExecutions"]


async def test_cancel_passes_the_grace_on_and_zero_is_not_unset(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["CancelExecution"] = [execution()]
    await client.cancel(ID)
    await client.cancel(ID, grace=0, reason="test")
    unset, zero = gateway.requests["CancelExecution"]
    assert not unset.HasField("grace")
    assert zero.HasField("grace")
    assert zero.reason == "test"


async def test_queue_stats_are_plain(gateway: FakeGateway, client: Client) -> None:
    stats = execution_pb2.QueueStats(
        queue="default", length=2, oldest_age={"seconds": 1, "nanos": 500_000_000}
    )
    answer = execution_service_pb2.GetQueueStatsResponse(queues=[stats, execution_pb2.QueueStats(queue="q")])
    gateway.answers["GetQueueStats"] = [answer]
    first, second = await client.queue_stats()
    assert (first.length, first.oldest_age_seconds) == (2, 1.5)
    assert second.oldest_age_seconds is None


async def test_workers_are_plain_and_come_page_by_page(gateway: FakeGateway, client: Client) -> None:
    task = worker_pb2.HeldTask(execution_id=ID, task_id="charge", item=0)
    task.lease_time.FromSeconds(1_900_000_000)
    first = worker_pb2.ConnectedWorker(
        worker_id="pod-7", protocol=1, slots=4, busy_slots=0, labels={"zone": "b"}, tasks=[task]
    )
    second = worker_pb2.ConnectedWorker(worker_id="unary", protocol=2, slots=4)
    page = execution_service_pb2.ListWorkersResponse
    gateway.answers["ListWorkers"] = [page(workers=[first], next_page_token="more"), page(workers=[second])]
    one, two = [each async for each in client.workers(task_type="noop", queue="slow", worker_id="w")]
    assert (one.worker_id, one.protocol, one.busy_slots, one.labels) == ("pod-7", "SESSION", 0, {"zone": "b"})
    (first_task,) = one.tasks
    assert (first_task.item, first_task.lease_time) == (0, datetime.fromtimestamp(1_900_000_000, UTC))
    assert (two.protocol, two.busy_slots, two.connect_time) == ("UNARY", None, None)
    begin, rest = gateway.requests["ListWorkers"]
    assert (begin.namespace, begin.task_type, begin.queue, begin.worker_id) == ("shop", "noop", "slow", "w")
    assert (begin.page_token, rest.page_token) == ("", "more")


async def test_a_definition_is_given_as_a_yaml_file_has_it(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["CreateWorkflow"] = [workflow_pb2.Workflow(workflow_id="orders")]
    await client.create_workflow("orders", {"tasks": [{"id": "pay", "type": "orders.pay", "needs": []}]})
    (request,) = gateway.requests["CreateWorkflow"]
    assert request.definition.tasks[0].type == "orders.pay"
    with pytest.raises(InvalidRequestError, match="taks"):
        await client.create_workflow("orders", {"taks": []})


async def test_an_update_with_an_etag_is_sent_once(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["UpdateWorkflow"] = [UNAVAILABLE, workflow_pb2.Workflow()]
    with pytest.raises(UnavailableError):
        await client.update_workflow("orders", {}, etag="abc")
    await client.update_workflow("orders", {}, etag="*")
    assert len(gateway.requests["UpdateWorkflow"]) == 2


async def test_workflows_are_listed_from_page_to_page(gateway: FakeGateway, client: Client) -> None:
    page = workflow_catalog_service_pb2.ListWorkflowsResponse
    workflow = workflow_pb2.Workflow
    gateway.answers["ListWorkflows"] = [
        page(workflows=[workflow(workflow_id="a")], next_page_token="more"),
        page(workflows=[workflow(workflow_id="b")]),
    ]
    assert [each.workflow_id async for each in client.list_workflows()] == ["a", "b"]


async def test_outputs_of_tasks_and_attempts_are_plain_in_the_full_view(
    gateway: FakeGateway, client: Client
) -> None:
    struct = struct_pb2.Struct()
    struct.update({"n": 1.0})
    task = execution_pb2.TaskRun(
        task_id="pay",
        item=0,
        status=execution_pb2.TASK_STATUS_SUCCEEDED,
        output=struct_pb2.Value(struct_value=struct),
    )
    gateway.answers["GetExecution"] = [execution(tasks=[task], input=struct)]
    found = await client.get(ID, full=True)
    assert gateway.requests["GetExecution"][0].view == execution_pb2.EXECUTION_VIEW_FULL
    assert found.input == {"n": 1}
    assert (found.tasks[0].item, found.tasks[0].status, found.tasks[0].output) == (0, "SUCCEEDED", {"n": 1})


def test_a_status_of_a_later_version_is_unknown_and_no_error() -> None:
    assert ExecutionStatus.of(99) is ExecutionStatus.UNKNOWN
    assert ExecutionStatus.of(execution_pb2.EXECUTION_STATUS_PAUSED) is ExecutionStatus.PAUSED
