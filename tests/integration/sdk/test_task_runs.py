"""Task runs as the client reads them, and waits for one run of an execution."""

from workflow_sdk import Client
from workflow_sdk.testing import FakeGateway
from workflow_sdk.testing.gateway import EXECUTION_ID as ID
from workflow_sdk.testing.gateway import execution
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2


def task_run(task_id: str, item: int, **fields: object) -> execution_pb2.TaskRun:
    return execution_pb2.TaskRun(
        task_id=task_id, item=item, status=execution_pb2.TASK_STATUS_FAILED, run_number=1, **fields
    )


async def test_task_runs_come_page_by_page_with_their_attempts(gateway: FakeGateway, client: Client) -> None:
    attempt = execution_pb2.Attempt(
        attempt=1, status=execution_pb2.ATTEMPT_STATUS_LOST, worker_id="w", run_number=1
    )
    first = task_run("load", 3, attempts=[attempt], left_out=True)
    first.ready_time.seconds, first.start_time.seconds = 10, 12
    response = execution_service_pb2.ListTaskRunsResponse
    gateway.answers["ListTaskRuns"] = [
        response(task_runs=[first], next_page_token="more"),
        response(next_page_token="still more"),
        response(task_runs=[task_run("load", 9)]),
    ]
    runs = [
        run
        async for run in client.task_runs(
            ID, task_id="load", statuses=["FAILED"], min_attempt=2, full=True, page_size=7
        )
    ]
    assert [(run.task_id, run.item, run.left_out) for run in runs] == [("load", 3, True), ("load", 9, False)]
    assert [(each.attempt, each.status, each.worker_id) for each in runs[0].attempts] == [(1, "LOST", "w")]
    assert (runs[0].waited_seconds, runs[1].waited_seconds) == (2.0, None)
    requests = gateway.requests["ListTaskRuns"]
    assert [request.page_token for request in requests] == ["", "more", "still more"]
    (request, *_) = requests

    assert (request.namespace, request.execution_id, request.task_id) == ("shop", ID, "load")
    assert (request.min_attempt, request.page_size) == (2, 7)
    assert list(request.statuses) == [execution_pb2.TASK_STATUS_FAILED]
    assert request.view == execution_pb2.TASK_RUN_VIEW_FULL


async def test_one_item_of_a_task_is_read_alone(gateway: FakeGateway, client: Client) -> None:
    summary = execution_pb2.TaskSummary(
        task_id="load",
        status=execution_pb2.TASK_STATUS_RUNNING,
        item_counts=execution_pb2.ItemCounts(total=5, ready=2, succeeded=3),
    )
    plain = execution_pb2.TaskSummary(task_id="tidy", status=execution_pb2.TASK_STATUS_BLOCKED)
    gateway.answers["GetExecution"] = [execution(task_summaries=[summary, plain])]
    found = await client.get(ID, task_id="load", item=0)
    (request,) = gateway.requests["GetExecution"]
    assert (request.task_id, request.HasField("item"), request.item) == ("load", True, 0)
    load, tidy = found.task_summaries
    assert (load.status, load.item_counts) == ("RUNNING", {"READY": 2, "SUCCEEDED": 3})
    assert (tidy.status, tidy.item_counts) == ("BLOCKED", None)

    await client.get(ID, task_id="load")

    assert not gateway.requests["GetExecution"][-1].HasField("item")


async def test_a_wait_for_a_run_ends_if_a_later_one_has_begun(gateway: FakeGateway, client: Client) -> None:
    gateway.answers["WaitExecution"] = [execution(run_number=1), execution(run_number=2)]

    assert (await client.wait(ID, run_number=1)).run_number == 2
    assert [request.run_number for request in gateway.requests["WaitExecution"]] == [1, 1]
