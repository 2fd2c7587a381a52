"""The errors that the client raises.

    WorkflowError                 .code, .reason, .message, .metadata
      InvalidRequestError         INVALID_ARGUMENT: change the request; `.violations` names the fields
      NotFoundError               NOT_FOUND: no such workflow, version or execution. Also INVALID_ARGUMENT,
                                  if an execution's id is not a UUID: no execution has it
      ConflictError               the resource is in a state that forbids the call
        AlreadyExistsError        ALREADY_EXISTS: the id is taken, or the request id was used otherwise
        PreconditionError         FAILED_PRECONDITION: change the status first; the message says how
        StaleError                ABORTED: somebody else was faster; read again, decide again
      ResumeTokenExpiredError     OUT_OF_RANGE: watch again without a token
      OverloadedError             RESOURCE_EXHAUSTED: wait, then repeat the same call
      UnavailableError            UNAVAILABLE: nobody answered in the call's time; repeat the same call
      DeadlineError               DEADLINE_EXCEEDED: no answer in time; the call may have had an effect
      DeniedError                 UNAUTHENTICATED, PERMISSION_DENIED
      InternalError               everything else: a fault of the service; its log has the message's id

`reason` is a name from the contract's enum ErrorReason, such as `WORKFLOW_NOT_ACTIVE`. It is empty if the
other side sent none. If a user's task fails, no call raises: the failure is data of the execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """A wrong field: its path in the request (`tasks[2].when`), and what is wrong with it."""

    field: str
    description: str


class WorkflowError(Exception):
    """A call was refused, or nobody answered; `message` says what to do next."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations = tuple(violations)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {v.field}: {v.description}" for v in self.violations)]
        return "\n".join(lines)


class InvalidRequestError(WorkflowError):
    """The request is wrong in every state; `violations` has the fields."""


class NotFoundError(WorkflowError):
    """There is no such workflow, version or execution in this namespace.

    Also raised, with `code` INVALID_ARGUMENT, if the id of an execution is not a UUID. So a program that
    takes ids from URLs can answer 404 to both.
    """


class ConflictError(WorkflowError):
    """The resource is in a state that forbids the call."""


class AlreadyExistsError(ConflictError):
    """The id is taken, or the request id was used with another request."""


class PreconditionError(ConflictError):
    """The status forbids the call; `metadata["status"]` has the current status."""


class StaleError(ConflictError):
    """The draft changed after its etag was read: get it again, merge, update again."""


class ResumeTokenExpiredError(WorkflowError):
    """The events after the resume token are not kept any more: watch again without it."""


class OverloadedError(WorkflowError):
    """The service has too much work: wait, then repeat the same call."""


class UnavailableError(WorkflowError):
    """Nobody answered, although the call was repeated for its whole time. It may be repeated again."""


class DeadlineError(WorkflowError):
    """No answer in time. The call may have had an effect; a repeat with the same `request_id` is harmless."""


class DeniedError(WorkflowError):
    """The credentials are missing, or do not allow this method."""


class InternalError(WorkflowError):
    """A fault of the service; its log has more about the id in the message."""


PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"

_CLASSES: dict[grpc.StatusCode, type[WorkflowError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.ABORTED: StaleError,
    grpc.StatusCode.OUT_OF_RANGE: ResumeTokenExpiredError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,  # the other side cancelled, or the connection broke
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
}
_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def error_class(code: grpc.StatusCode) -> type[WorkflowError]:
    """Return the exception class for a status code."""
    return _CLASSES.get(code, InternalError)


def from_rpc_error(error: grpc.RpcError) -> WorkflowError:
    """Return the exception for a failed call. Raise nothing."""
    call: Any = error  # grpc types RpcError without the call's methods
    status = _received_status(call.trailing_metadata() or ())
    if status is not None:
        return from_status(status)
    code, details = call.code(), call.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        message = f"a message is too large for gRPC ({details}); split the request, or pass references"
        return InvalidRequestError(message, code=code, reason=PAYLOAD_TOO_LARGE)
    return error_class(code)(details or code.name, code=code)


def from_status(status: status_pb2.Status) -> WorkflowError:
    """Return the exception for a `google.rpc.Status`, for example of one item of a batch."""
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    reason, metadata = "", {}
    violations: list[Violation] = []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations += [Violation(v.field, v.description) for v in bad.field_violations]
    kind = NotFoundError if _no_execution_has_it(code, violations) else error_class(code)
    return kind(status.message, code=code, reason=reason, metadata=metadata, violations=violations)


def _no_execution_has_it(code: grpc.StatusCode, violations: Sequence[Violation]) -> bool:
    """Return whether only the id of an execution is wrong. Only the service makes these ids."""
    return code is grpc.StatusCode.INVALID_ARGUMENT and [each.field for each in violations] == [
        "execution_id"
    ]


def _received_status(trailers: Any) -> status_pb2.Status | None:
    for key, value in trailers:
        if key == STATUS_DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None
