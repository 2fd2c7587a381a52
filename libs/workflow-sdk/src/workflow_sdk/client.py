"""The client: start, steer, read and watch executions; keep definitions in the catalog."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import grpc
from workflow_contract.names import DEFAULT_NAMESPACE
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc
from workflowsystem.execution.v1 import execution_pb2, execution_service_pb2_grpc
from workflowsystem.execution.v1 import execution_service_pb2 as messages
from workflowsystem.gateway.v1 import watch_service_pb2_grpc

from workflow_sdk import watch as watching
from workflow_sdk.addresses import require_address
from workflow_sdk.calls import DEFAULT_TIMEOUT_SECONDS, Caller, channel_options
from workflow_sdk.catalog import CatalogCalls
from workflow_sdk.errors import DeadlineError, UnavailableError, WorkflowError, from_status
from workflow_sdk.models import Event, Execution, StartRequest, WatchUpdate
from workflow_sdk.operations import OperationCalls
from workflow_sdk.payloads import check_labels
from workflow_sdk.statuses import ExecutionStatus
from workflow_sdk.task_runs import TaskRunCalls
from workflow_sdk.times import duration, timestamp
from workflow_sdk.values import to_struct

DEFAULT_ADDRESS = "127.0.0.1:7010"
_MAX_POLL_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_ANSWER_SECONDS = 1.0
"""The last part of a wait, in which the answer that the execution is not final arrives."""
"""Between two tries of `wait` near the end of its timeout, while nobody answers."""


class Client(CatalogCalls, OperationCalls, TaskRunCalls):
    """A connection to the gateway, for one namespace.

        async with Client.connect() as client:
            execution = await client.start("orders", {"order_id": "42"})
            print((await client.wait(execution.execution_id)).output)

    Every method raises WorkflowError (see `workflow_sdk.errors`). Calls that may be repeated are sent again
    while nobody answers, for `timeout` seconds in all. A read sees at least what this client has done.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.namespace = namespace
        self._channel = channel
        self._caller = Caller(timeout=timeout, metadata=tuple(metadata))
        self._catalog_caller = Caller(timeout=timeout, metadata=tuple(metadata))
        self._catalog = workflow_catalog_service_pb2_grpc.WorkflowCatalogServiceStub(channel)
        self._executions = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        self._watches = watch_service_pb2_grpc.WatchServiceStub(channel)

    @classmethod
    def connect(
        cls,
        address: str = DEFAULT_ADDRESS,
        namespace: str = DEFAULT_NAMESPACE,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """A client of the gateway at `address`; it connects with the first call. Close it in the end.

        It never goes through a proxy of the environment (`http_proxy`); for one, make the channel yourself.
        Raises ValueError if `address` is no address, such as a URL.
        """
        require_address(address)
        if credentials is None:
            channel = grpc.aio.insecure_channel(address, options=channel_options())
        else:
            channel = grpc.aio.secure_channel(address, credentials, options=channel_options())
        return cls(channel, namespace=namespace, timeout=timeout, metadata=metadata)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls and watches under way end."""
        await self._channel.close()

    @property
    def consistency_token(self) -> str:
        """The newest token of this client's changes of executions; empty before the first.

        Give it to readers elsewhere. It is good only for reads of executions: the catalog has its own.
        """
        return self._caller.consistency_token

    @property
    def catalog_consistency_token(self) -> str:
        """The newest token of this client's changes of workflows, for reads of the catalog elsewhere."""
        return self._catalog_caller.consistency_token

    async def start(
        self,
        workflow_id: str,
        input: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
        version: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Execution:
        """Start an execution of an Active workflow; version 0 is the active one.

        A repeat with the same `request_id` (made up if None) returns the first answer. Raises NotFoundError,
        PreconditionError (not Active), InvalidRequestError (the input breaks the schema), PayloadError.
        """
        request = self._start_request(
            StartRequest(workflow_id, input or {}, request_id, version, labels or {})
        )
        return Execution.from_message(await self._caller.call(self._executions.StartExecution, request))

    async def start_batch(self, starts: Sequence[StartRequest]) -> Sequence[Execution | WorkflowError]:
        """Start 1 to 1,000 executions; each answers for itself, with an execution or the error."""
        request = messages.BatchStartExecutionsRequest(requests=[self._start_request(s) for s in starts])
        changes = self._caller.token_changes
        answer = await self._caller.call(self._executions.BatchStartExecutions, request)
        tokens = [r.execution.consistency_token for r in answer.results if r.WhichOneof("result") != "error"]
        if tokens:
            self._caller.remember(max(tokens), changes)
        return [_batch_result(result) for result in answer.results]

    async def get(
        self,
        execution_id: str,
        *,
        full: bool = False,
        task_id: str = "",
        item: int | None = None,
        strong: bool = False,
    ) -> Execution:
        """The execution; `full` with its input, its tasks (at most 1,000 task runs) and their summaries.

        With `task_id` only the runs of this task, with `item` only this item of its fan-out: their payloads
        have room then, and the execution comes without its own. `tasks` is empty if there is no such task.
        May be repeated. Raises NotFoundError.
        """
        view = execution_pb2.EXECUTION_VIEW_FULL if full else execution_pb2.EXECUTION_VIEW_BASIC
        request = messages.GetExecutionRequest(
            namespace=self.namespace,
            execution_id=execution_id,
            view=view,
            task_id=task_id,
            item=item,
            read_consistency=self._caller.consistency(strong),
        )
        return Execution.from_message(await self._caller.call(self._executions.GetExecution, request))

    async def list(
        self,
        *,
        workflow_id: str = "",
        statuses: Sequence[ExecutionStatus] = (),
        labels: Mapping[str, str] | None = None,
        create_time_from: datetime | None = None,
        create_time_before: datetime | None = None,
        quarantined: bool = False,
        page_size: int = 100,
    ) -> AsyncIterator[Execution]:
        """Executions, the newest first, page by page: stop iterating when you have enough.

        `quarantined` leaves out all that are not quarantined. The times must have a time zone. Raises
        InvalidRequestError.
        """
        check_labels(labels or {})
        request = messages.ListExecutionsRequest(
            namespace=self.namespace,
            page_size=page_size,
            workflow_id=workflow_id,
            statuses=[ExecutionStatus(status).number for status in statuses],
            labels=labels or {},
            create_time_from=timestamp("create_time_from", create_time_from),
            create_time_before=timestamp("create_time_before", create_time_before),
            quarantined=quarantined,
            read_consistency=self._caller.consistency(strong=False),
        )
        while True:
            page = await self._caller.call(self._executions.ListExecutions, request)
            for message in page.executions:
                yield Execution.from_message(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def wait(
        self, execution_id: str, timeout: float | None = None, *, run_number: int = 0
    ) -> Execution:
        """The execution when it is final: look at its status and output.

        With `run_number` it waits for the end of this run of the execution: if a later run has begun, it
        returns the execution as it is. Raises PreconditionError if the execution has not come to this run.

        Raises DeadlineError after `timeout` seconds (None: never), also if nobody answers until then. Raises
        UnavailableError if nobody answers for the time of a call and the timeout has not passed. Raises
        NotFoundError. May be repeated.
        """
        deadline = None if timeout is None else self._caller.monotonic() + timeout
        problem: WorkflowError | None = None
        answered = False
        while True:
            left = math.inf if deadline is None else deadline - self._caller.monotonic()
            if left <= 0:
                raise _not_final(execution_id, timeout, problem) from problem
            poll = min(max(left - _ANSWER_SECONDS, 0.8 * left), _MAX_POLL_SECONDS)
            patience = min(left, poll + self._caller.timeout)
            try:
                answer = await self._wait_once(execution_id, poll, patience, run_number)
            except (UnavailableError, DeadlineError) as error:
                if patience < left:
                    raise
                if not answered or left > _ANSWER_SECONDS:
                    problem = error
                await self._caller.sleep(min(_PAUSE_SECONDS, max(0.0, left)))
                continue
            problem, answered = None, True
            if answer.final or (run_number and answer.run_number > run_number):
                return Execution.from_message(answer)

    async def _wait_once(
        self, execution_id: str, poll: float, patience: float, run_number: int
    ) -> execution_pb2.Execution:
        request = messages.WaitExecutionRequest(
            namespace=self.namespace,
            execution_id=execution_id,
            timeout=duration(poll),
            run_number=run_number,
        )
        return await self._caller.call(self._executions.WaitExecution, request, timeout=patience)

    async def pause(self, execution_id: str, *, reason: str = "") -> Execution:
        """From the reply on no task of it starts. May be repeated. Raises PreconditionError (final)."""
        request = messages.PauseExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.PauseExecution, request))

    async def resume(self, execution_id: str, *, reason: str = "") -> Execution:
        """Back to the status before the pause. May be repeated. Raises PreconditionError (final)."""
        request = messages.ResumeExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.ResumeExecution, request))

    async def release(self, execution_id: str, *, reason: str = "") -> Execution:
        """Let a quarantined execution go on; call it after the cause of the quarantine is repaired.

        If the cause is still there, the engine quarantines the execution again. May be repeated. Raises
        PreconditionError (final, or a cancel is under way).
        """
        request = messages.ReleaseExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.ReleaseExecution, request))

    async def cancel(self, execution_id: str, *, grace: float | None = None, reason: str = "") -> Execution:
        """Cancel it; what is in flight may take `grace` seconds to stop (None: 30, at most 600, 0: at once).

        May be repeated. Raises PreconditionError (completed or failed).
        """
        request = messages.CancelExecutionRequest(
            namespace=self.namespace,
            execution_id=execution_id,
            grace=None if grace is None else duration(grace),
            reason=reason,
        )
        return Execution.from_message(await self._caller.call(self._executions.CancelExecution, request))

    async def events(
        self, execution_id: str, *, after_sequence: int = 0, page_size: int = 500, strong: bool = False
    ) -> AsyncIterator[Event]:
        """The events that are stored now, in order, after a sequence number. Raises NotFoundError.

        A read replica may lack the newest events for a moment; `strong` reads them from the primary.
        """
        request = messages.ListExecutionEventsRequest(
            namespace=self.namespace,
            execution_id=execution_id,
            page_size=page_size,
            after_sequence=after_sequence,
            read_consistency=self._caller.consistency(strong),
        )
        while True:
            page = await self._caller.call(self._executions.ListExecutionEvents, request)
            for message in page.events:
                yield Event.from_message(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(
        self, execution_id: str, *, resume_token: str = "", patience: float = 60.0
    ) -> AsyncIterator[WatchUpdate]:
        """A snapshot, then every later event once, in order, to the final one; with a token no snapshot.

        Goes on by itself over broken connections and restarts of services, and gives up when nobody
        answered for `patience` seconds. Raises NotFoundError, ResumeTokenExpiredError, UnavailableError.
        """
        return watching.watch(
            self._watches, self._caller, self.namespace, execution_id, resume_token, patience
        )

    def _start_request(self, start: StartRequest) -> messages.StartExecutionRequest:
        check_labels(start.labels)
        return messages.StartExecutionRequest(
            namespace=self.namespace,
            workflow_id=start.workflow_id,
            version=start.version,
            input=to_struct(start.input),
            request_id=start.request_id or uuid.uuid4().hex,
            labels=start.labels,
        )


def _batch_result(result: Any) -> Execution | WorkflowError:
    if result.WhichOneof("result") == "error":
        return from_status(result.error)
    return Execution.from_message(result.execution)


def _not_final(execution_id: str, timeout: float | None, problem: WorkflowError | None) -> DeadlineError:
    message = f"execution {execution_id} is not final after {timeout:g} s: wait again, or cancel it"
    if problem is not None:
        message = (
            f"no answer about execution {execution_id} within {timeout:g} s ({problem.message}): wait again"
        )
    return DeadlineError(message, code=grpc.StatusCode.DEADLINE_EXCEEDED)
