"""The client: it starts, controls, reads and watches executions, and keeps definitions in the catalog."""

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
"""The pause between two tries of `wait` near the end of its timeout, while nobody answers."""
_ANSWER_SECONDS = 1.0
"""The last part of a wait: time for the answer that the execution is not final."""


class Client(CatalogCalls, OperationCalls, TaskRunCalls):
    """A connection to the gateway, for one namespace.

        async with Client.connect() as client:
            execution = await client.start("orders", {"order_id": "42"})
            print((await client.wait(execution.execution_id)).output)

    A method whose name has no noun acts on executions. Every method raises WorkflowError (see
    `workflow_sdk.errors`). If nobody answers, a call that may be repeated is sent again, for up to `timeout`
    seconds. A read includes all changes that this client has made.
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
        """Return a client of the gateway at `address`. It connects with the first call; close it at the end.

        It ignores proxies of the environment (`http_proxy`); to use one, create the channel yourself. Raises
        ValueError if `address` is not an address, for example a URL.
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
        """Close the connection. Calls and watches in progress end."""
        await self._channel.close()

    @property
    def consistency_token(self) -> str:
        """The newest token of this client's changes of executions; empty before the first change.

        A reader elsewhere that passes it on sees these changes. It is for reads of executions only.
        """
        return self._caller.consistency_token

    @property
    def catalog_consistency_token(self) -> str:
        """The newest token of this client's changes of workflows, for reads of the catalog."""
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

        A repeat with the same `request_id` (None: a new random one) returns the first answer. Raises
        NotFoundError, PreconditionError (not Active), InvalidRequestError (the input breaks the schema),
        PayloadError.
        """
        request = self._start_request(
            StartRequest(workflow_id, input or {}, request_id, version, labels or {})
        )
        return Execution.from_message(await self._caller.call(self._executions.StartExecution, request))

    async def start_batch(self, starts: Sequence[StartRequest]) -> Sequence[Execution | WorkflowError]:
        """Start 1 to 1,000 executions. Return an execution or an error for each."""
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
        """Return the execution; `full` adds its input, at most 1,000 task runs, and summaries of its tasks.

        `task_id` selects the runs of one task, and `item` one item of its fan-out. The execution's own
        payloads are then left out, so that the task's payloads fit into the answer. `tasks` is empty if there
        is no such task. May be repeated. Raises NotFoundError.
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
        """Iterate over executions, newest first, page by page.

        `quarantined` selects quarantined executions only. The times must have a time zone. Raises
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
        """Wait until the execution is final, and return it with its status and output.

        With `run_number` wait for the end of this run. If a later run has begun, return the execution as it
        is. Raises PreconditionError if the execution has not reached this run.

        Raises DeadlineError after `timeout` seconds (None: never), also if nobody answered. Raises
        UnavailableError if nobody answers for the time of one call, before the timeout has passed. Raises
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
        """Pause the execution: after the reply no task of it starts. Raises PreconditionError (final).

        May be repeated.
        """
        request = messages.PauseExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.PauseExecution, request))

    async def resume(self, execution_id: str, *, reason: str = "") -> Execution:
        """Resume a paused execution, with the status from before the pause. Raises PreconditionError (final).

        May be repeated.
        """
        request = messages.ResumeExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.ResumeExecution, request))

    async def release(self, execution_id: str, *, reason: str = "") -> Execution:
        """Let a quarantined execution continue. First repair the cause of the quarantine.

        If the cause is still there, the engine quarantines the execution again. May be repeated. Raises
        PreconditionError (final, or a cancel is under way).
        """
        request = messages.ReleaseExecutionRequest(
            namespace=self.namespace, execution_id=execution_id, reason=reason
        )
        return Execution.from_message(await self._caller.call(self._executions.ReleaseExecution, request))

    async def cancel(self, execution_id: str, *, grace: float | None = None, reason: str = "") -> Execution:
        """Cancel the execution. Running handlers get `grace` seconds to stop: 0 to 600; None: 30.

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
        """Iterate over the stored events after a sequence number, in order. Raises NotFoundError.

        A read replica may be a moment behind; `strong` reads from the primary.
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
        """Iterate over a snapshot and then every later event, once and in order, until the final one.

        With a `resume_token` of an earlier update there is no snapshot. If a connection breaks or a service
        restarts, the watch reconnects. It gives up if nobody answers for `patience` seconds. Raises
        NotFoundError, ResumeTokenExpiredError, UnavailableError.
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
