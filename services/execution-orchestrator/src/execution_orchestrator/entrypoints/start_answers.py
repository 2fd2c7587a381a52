"""The response to BatchStartExecutions, small enough for gRPC.

The starts are committed, so it must arrive.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from google.rpc import error_details_pb2, status_pb2
from service_kit.errors import internal, to_status
from service_kit.tools.ids import new_uuid7
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from execution_orchestrator.application.engine.work import WorkResult
from execution_orchestrator.domain.limits import MAX_OUTPUTS_OF_BATCH_BYTES
from execution_orchestrator.entrypoints import translate
from execution_orchestrator.entrypoints.error_map import map_error

MAX_BATCH_RESPONSE_BYTES: Final = 3 * 1024 * 1024
"""The size of a response with everything. gRPC accepts 4 MiB."""

SHORT_FIELDS: Final = frozenset(
    [
        *("namespace", "execution_id", "workflow_id", "version", "status", "run_number", "final"),
        *("state_version", "last_sequence", "consistency_token"),
        *("create_time", "start_time", "end_time", "timeout_time"),
    ]
)
"""The fields of an execution in a shortened response: under 500 bytes."""

SHORT_MESSAGE_CHARS: Final = 300
"""The message of an error in a shortened response."""

SHORT_DETAIL_BYTES: Final = 1024
"""The ErrorInfo of an error in a shortened response."""

log = structlog.get_logger(__name__)

_Result = pb.BatchStartExecutionsResponse.Result


def output_chars(outcomes: Sequence[WorkResult | BaseException]) -> int:
    """Return how much JSON the outputs of all executions have. Only repeated starts have outputs."""
    return sum(len(each.execution.output or "") for each in outcomes if isinstance(each, WorkResult))


def batch_response(outcomes: Sequence[WorkResult | BaseException]) -> pb.BatchStartExecutionsResponse:
    """Return the result of each start. If one message cannot hold them, shorten every result."""
    left_out = any(isinstance(each, WorkResult) and each.output_left_out for each in outcomes)
    with_output = not left_out and output_chars(outcomes) <= MAX_OUTPUTS_OF_BATCH_BYTES
    response = pb.BatchStartExecutionsResponse(results=[_result(each, with_output) for each in outcomes])
    if not with_output or response.ByteSize() > MAX_BATCH_RESPONSE_BYTES:
        for result in response.results:
            _shorten(result)
    return response


def _result(outcome: WorkResult | BaseException, with_output: bool) -> _Result:
    if not isinstance(outcome, WorkResult):
        return _Result(error=_status(outcome))
    message = translate.execution_message(
        outcome.execution, consistency_token=outcome.token, with_output=with_output
    )
    return _Result(execution=message)


def _status(error: BaseException) -> status_pb2.Status:
    known = map_error(error) if isinstance(error, Exception) else None
    if known is None:
        error_id = str(new_uuid7())
        log.error("start_failed", error_id=error_id, exc_info=error)
        known = internal(error_id)
    return to_status(known)


def _shorten(result: _Result) -> None:
    if result.HasField("execution"):
        _shorten_execution(result.execution)
    else:
        _shorten_error(result.error)


def _shorten_execution(execution: execution_pb2.Execution) -> None:
    for field, _ in execution.ListFields():
        if field.name not in SHORT_FIELDS:
            execution.ClearField(field.name)


def _shorten_error(error: status_pb2.Status) -> None:
    """Keep the code, the begin of the message, and the reason, because programs use these."""
    if len(error.message) > SHORT_MESSAGE_CHARS:
        error.message = error.message[: SHORT_MESSAGE_CHARS - 1] + "…"
    del error.details[1:]  # the first one is the ErrorInfo
    if error.details and error.details[0].ByteSize() > SHORT_DETAIL_BYTES:
        info = error_details_pb2.ErrorInfo()
        error.details[0].Unpack(info)
        info.ClearField("metadata")
        error.details[0].Pack(info)
