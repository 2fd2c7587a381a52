"""ExecutionService under grpcio-testing: codes, reasons, metadata and deadlines, on fakes of the ports."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import grpc
import pytest
import structlog
from execution_orchestrator.application.engine.work import (
    ExecutionNotFoundError,
    RequestIdReusedError,
    WorkResult,
)
from execution_orchestrator.application.ports.catalog import (
    CatalogUnavailableError,
    VersionQuery,
    WorkflowNotFoundError,
)
from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.store import (
    BadDataError,
    RetryTransactionError,
    StoreUnavailableError,
)
from execution_orchestrator.application.starting.input_schema import InputSchemaError
from execution_orchestrator.application.starting.starts import WorkflowNotActiveError
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.domain.commands import CancelExecution, PauseExecution
from execution_orchestrator.domain.errors import StatusConflictError, TaskTypeUnknownError
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from execution_orchestrator.entrypoints.error_map import map_error
from execution_orchestrator.entrypoints.execution_servicer import ExecutionServicer
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry
from service_kit.errors import STATUS_DETAILS_KEY, resource_exhausted
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from testkit import eventually
from testkit.grpc_testing import Answer, TestServer, answer_of
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb
from workflowsystem.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server

from tests.fakes.pipeline import FakePipeline
from tests.fakes.reads import ID, NOW, FakeReads

SERVICE = "/workflowsystem.execution.v1.ExecutionService/"
Code = grpc.StatusCode


def an_execution() -> Execution:
    return Execution(ID, "default", "orders", 1, {}, NOW, ExecutionStatus.RUNNING, last_sequence=1)


class FakeStarts:
    """Accepts everything, or raises what the test gave it."""

    error: Exception | None = None

    async def start(self, request: Any) -> WorkResult:
        if self.error is not None:
            raise self.error
        return WorkResult(an_execution(), token="0/1")


class DeadQueue:
    async def queues(self) -> Any:
        raise HintsUnavailableError("Redis does not answer")


class DeadUsage:
    async def of(self, *_: object) -> Any:
        raise HintsUnavailableError("Redis does not answer")


class DeadWorkers:
    async def page(self, *_: object, **__: object) -> Any:
        raise HintsUnavailableError("Redis does not answer")


@pytest.fixture
def starts() -> FakeStarts:
    return FakeStarts()


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline(lambda _: WorkResult(an_execution(), token="0/2"))


@pytest.fixture
def stored() -> FakeReads:
    """A running execution with one event."""
    reads = FakeReads()
    reads.happen(EventType.EXECUTION_CREATED)
    return reads


@pytest.fixture
def waiters(stored: FakeReads) -> Waiters:
    return Waiters(stored)  # type: ignore[arg-type]


@pytest.fixture
def server(
    starts: FakeStarts, pipeline: FakePipeline, stored: FakeReads, waiters: Waiters
) -> Iterator[TestServer]:
    doubles: Any = (starts, pipeline, stored, DeadQueue(), waiters, DeadUsage(), DeadWorkers())
    servicer = ExecutionServicer(*doubles)
    interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()), map_error=map_error)
    with TestServer(
        lambda server: add_ExecutionServiceServicer_to_server(servicer, server), interceptors=[interceptor]
    ) as server:
        yield server


def reason_of(answer: Answer) -> str:
    status = status_pb2.Status.FromString(answer.trailing_metadata[STATUS_DETAILS_KEY])
    assert (status.code, status.message) == (answer.code.value[0], answer.details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "workflowsystem"
    return str(info.reason)


def test_a_read_is_answered_with_ok(server: TestServer) -> None:
    answer = server.call(SERVICE + "GetExecution", pb.GetExecutionRequest(execution_id=str(ID)))

    assert answer.code is Code.OK
    assert answer.response.status == execution_pb2.EXECUTION_STATUS_RUNNING
    assert answer.trailing_metadata == {}


def test_every_refusal_of_a_start_has_its_code_and_reason(server: TestServer, starts: FakeStarts) -> None:
    query = VersionQuery("default", "orders", 1)
    table: list[tuple[Exception, Code, str]] = [
        (
            WorkflowNotFoundError("VERSION_NOT_FOUND", "no version", query),
            Code.NOT_FOUND,
            "VERSION_NOT_FOUND",
        ),
        (WorkflowNotActiveError("orders", "DRAFT"), Code.FAILED_PRECONDITION, "WORKFLOW_NOT_ACTIVE"),
        (TaskTypeUnknownError("a", "b", "start one"), Code.FAILED_PRECONDITION, "TASK_TYPE_UNKNOWN"),
        (InputSchemaError("orders", 1, [("input", "no")]), Code.INVALID_ARGUMENT, "INPUT_SCHEMA_VIOLATION"),
        (RequestIdReusedError(), Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (BadDataError("no such text"), Code.INVALID_ARGUMENT, "PAYLOAD_INVALID"),
        (CatalogUnavailableError("gone"), Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (StoreUnavailableError("gone"), Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (RetryTransactionError("deadlock"), Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (ConnectionRefusedError(), Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (resource_exhausted("OVERLOADED", "wait"), Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (KeyError("secret"), Code.INTERNAL, "INTERNAL"),
    ]

    for error, code, reason in table:
        starts.error = error
        answer = server.call(SERVICE + "StartExecution", pb.StartExecutionRequest(workflow_id="orders"))
        assert (answer.response, answer.code, reason_of(answer)) == (None, code, reason)
        assert "secret" not in answer.details


def test_steering_reaches_the_pipeline_with_its_namespace_and_is_refused_by_status(
    server: TestServer, pipeline: FakePipeline
) -> None:
    request = pb.PauseExecutionRequest(execution_id=str(ID), reason="lunch", namespace="team-a")
    answer = server.call(SERVICE + "PauseExecution", request)
    assert answer.response.consistency_token == "0/2"
    (work,) = pipeline.submitted
    assert (work.execution_id, work.namespace, work.command) == (ID, "team-a", PauseExecution("lunch"))

    for error, code, reason in (
        (
            StatusConflictError("CancelExecution", "COMPLETED", "start a new one"),
            Code.FAILED_PRECONDITION,
            "E",
        ),
        (ExecutionNotFoundError(str(ID)), Code.NOT_FOUND, "EXECUTION_NOT_FOUND"),
    ):
        pipeline.result = Mock(side_effect=error)
        answer = server.call(SERVICE + "CancelExecution", pb.CancelExecutionRequest(execution_id=str(ID)))
        assert answer.code is code
        assert reason_of(answer).startswith(reason)

    assert pipeline.submitted[-1].command == CancelExecution()


def test_a_request_that_breaks_a_rule_never_reaches_the_pipeline(
    server: TestServer, pipeline: FakePipeline
) -> None:
    answer = server.call(SERVICE + "ResumeExecution", pb.ResumeExecutionRequest(execution_id="no"))

    assert (answer.code, reason_of(answer)) == (Code.INVALID_ARGUMENT, "FIELD_INVALID")
    assert pipeline.submitted == []


def test_a_dead_redis_is_unavailable(server: TestServer) -> None:
    for method, request in (
        ("GetQueueStats", pb.GetQueueStatsRequest()),
        ("ListWorkers", pb.ListWorkersRequest()),
    ):
        answer = server.call(SERVICE + method, request)
        assert (answer.code, reason_of(answer)) == (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


def test_a_wait_ends_with_the_callers_deadline_and_is_forgotten(server: TestServer, waiters: Waiters) -> None:
    """The caller's time, not the sixty seconds that it asked to wait: nobody is there to be answered."""
    request = pb.WaitExecutionRequest(execution_id=str(ID))
    request.timeout.FromSeconds(60)
    rpc = server.begin(SERVICE + "WaitExecution", request, timeout=5)
    server.run(eventually(lambda: bool(waiters._waiting)))
    server.time.sleep_for(6)
    assert answer_of(rpc).code is Code.DEADLINE_EXCEEDED
    server.run(eventually(lambda: not waiters._waiting))


def test_a_stream_gives_what_there_is_and_is_forgotten_when_its_caller_goes(
    server: TestServer, waiters: Waiters
) -> None:
    rpc = server.stream(
        SERVICE + "StreamExecutionEvents", pb.StreamExecutionEventsRequest(execution_id=str(ID))
    )
    assert [event.sequence for event in rpc.take_response().events] == [1]
    server.run(eventually(lambda: bool(waiters._waiting)))
    rpc.cancel()
    server.run(eventually(lambda: not waiters._waiting))


def test_a_stream_of_what_does_not_exist_is_not_found(server: TestServer) -> None:
    request = pb.StreamExecutionEventsRequest(execution_id=str(UUID(int=2)), after_sequence=1)
    trailers, code, details = server.stream(SERVICE + "StreamExecutionEvents", request).termination()

    assert reason_of(Answer(None, code, details, dict(trailers))) == "EXECUTION_NOT_FOUND"


def test_a_defect_is_logged_under_the_id_that_its_caller_is_given(
    server: TestServer, starts: FakeStarts
) -> None:
    starts.error = KeyError("a defect")
    request = pb.StartExecutionRequest(workflow_id="orders")
    with structlog.testing.capture_logs() as lines:
        answer = server.call(SERVICE + "StartExecution", request)
    (line,) = [line for line in lines if line["event"] == "rpc_failed"]

    assert line["error_id"] in answer.details
    assert line["rpc"] == SERVICE + "StartExecution"
