"""The one error that a service shows to callers, and its form on the wire.

    ServiceError                 code, reason (of the enum ErrorReason), a sentence with the next step
      invalid_argument(...)      INVALID_ARGUMENT      the request is wrong in every state: change it
      failed_precondition(...)   FAILED_PRECONDITION   the state forbids it: change the state first
      out_of_range(...)          OUT_OF_RANGE          the position is no longer stored
      not_found(...)             NOT_FOUND
      already_exists(...)        ALREADY_EXISTS
      aborted(...)               ABORTED               another change was first: read again, decide again
      resource_exhausted(...)    RESOURCE_EXHAUSTED    a limit is reached: wait, then send the same again
      unavailable(...)           UNAVAILABLE           send the same again after a back-off
      unimplemented(...)         UNIMPLEMENTED
      internal(...)              INTERNAL              a fault of the service; the log has its error id

On the wire it is `google.rpc.Status` with one `ErrorInfo`, for bad input one `BadRequest`, and for OVERLOADED
one `RetryInfo`, in the trailing metadata `grpc-status-details-bin`. Clients accept 8 KiB of trailers by
default. If trailers are larger, clients drop some, and report RESOURCE_EXHAUSTED instead. On the wire the
details are base64. The message is repeated in percent-encoding, where an emoji takes 12 bytes. `to_status`
cuts by these bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "workflowsystem"
# The reasons of errors that this library raises: names of values of the enum ErrorReason.
FIELD_INVALID = "FIELD_INVALID"
PAYLOAD_INVALID = "PAYLOAD_INVALID"
PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
OVERLOADED = "OVERLOADED"
DRAINING = "DRAINING"
METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
INTERNAL = "INTERNAL"
OVERLOADED_RETRY_SECONDS = 1
"""How long a caller waits after OVERLOADED; most of a burst is served by then."""
STATUS_DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_CHARS = 1_000
MAX_DESCRIPTION_CHARS = 300
MAX_VIOLATIONS = 20
MAX_STATUS_BYTES = 4_096
MAX_ENCODED_MESSAGE_BYTES = 2_400
"""The limit of the message in percent-encoding."""
MAX_TRAILER_BYTES = 7_168
"""The limit of encoded message and details; the rest of 8 KiB is for names and for trailers of handlers."""

_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that is wrong: `field` is its path in the request (`tasks[2].when`), `description` a phrase.

    An empty `field` means the whole request. If `reason` is empty, the reason of the error applies.
    """

    field: str
    description: str
    reason: str = ""


class ServiceError(Exception):
    """An error for the caller. Every other exception of a handler becomes INTERNAL without its text.

    `message` names the next step. `reason` is the name of a value of the enum ErrorReason. `metadata`
    holds the facts that a program needs (ids, limits), and never secrets.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        domain: str = DOMAIN,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.domain = domain
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations = tuple(violations)

    def __repr__(self) -> str:
        return f"ServiceError({self.code.name}, {self.reason}, {self.message!r})"


def to_status(error: ServiceError) -> status_pb2.Status:
    """Return the error as `google.rpc.Status`, cut so that its encoded form fits into trailing metadata."""
    message = _cut_encoded(_cut(error.message, MAX_MESSAGE_CHARS), MAX_ENCODED_MESSAGE_BYTES)
    for kept in (MAX_VIOLATIONS, 8, 3, 1, 0):
        status = _status(error, message, error.violations[:kept])
        if status.ByteSize() <= MAX_STATUS_BYTES and trailer_bytes(status) <= MAX_TRAILER_BYTES:
            break
    return status


def trailer_bytes(status: status_pb2.Status) -> int:
    """Return the size of message and details in trailing metadata: percent-encoding and base64."""
    base64_bytes: int = (status.ByteSize() + 2) // 3 * 4
    return _encoded_bytes(status.message) + base64_bytes


def _status(error: ServiceError, message: str, violations: Sequence[FieldViolation]) -> status_pb2.Status:
    status = status_pb2.Status(code=error.code.value[0], message=message)
    metadata = {key: _cut(value, MAX_DESCRIPTION_CHARS) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain, metadata=metadata)
    status.details.add().Pack(info)
    if error.reason == OVERLOADED:
        delay = duration_pb2.Duration(seconds=OVERLOADED_RETRY_SECONDS)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if violations:
        bad = error_details_pb2.BadRequest()
        for item in violations:
            description = _cut(item.description, MAX_DESCRIPTION_CHARS)
            field, reason = _cut(item.field, MAX_DESCRIPTION_CHARS), item.reason or error.reason
            bad.field_violations.add(field=field, description=description, reason=reason)
        status.details.add().Pack(bad)
    return status


def _cut(text: str, limit: int) -> str:
    """Return the text with at most `limit` characters, and without halves of surrogate pairs."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_encoded(text: str, limit: int) -> str:
    """Return the beginning of the text, at most `limit` bytes in percent-encoding."""
    if _encoded_bytes(text) <= limit:
        return text
    left = limit - _encoded_bytes("…")
    for position, character in enumerate(text):
        left -= _encoded_bytes(character)
        if left < 0:
            return text[:position] + "…"
    return text


def _encoded_bytes(text: str) -> int:
    """Return the size of a `grpc-message`: `%` and all but printable ASCII take three bytes for each one."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """Return the error of a client call as a ServiceError; if the peer sent no reason, the reason is empty.

    `error` is a `grpc.aio.AioRpcError` or an error of a synchronous channel. Raise nothing.
    """
    call: Any = error  # the types of grpc show RpcError without the methods of a call
    status = _received_status(call.trailing_metadata() or ())
    if status is None:
        return ServiceError(call.code(), "", call.details() or call.code().name)
    reason, domain, metadata = "", DOMAIN, {}
    violations: list[FieldViolation] = []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, domain, metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(bad):
            violations += [FieldViolation(v.field, v.description, v.reason) for v in bad.field_violations]
    code = _CODE_BY_NUMBER.get(status.code, call.code())
    return ServiceError(code, reason, status.message, domain=domain, metadata=metadata, violations=violations)


def _received_status(trailers: Any) -> status_pb2.Status | None:
    for key, value in trailers:
        if key == STATUS_DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def invalid_argument(
    reason: str, message: str, *violations: FieldViolation, metadata: Mapping[str, str] | None = None
) -> ServiceError:
    """Return INVALID_ARGUMENT: the request is wrong. Say which field, and what to send instead.

    Give at least one violation: the contract promises it to callers as `BadRequest`.
    """
    code = grpc.StatusCode.INVALID_ARGUMENT
    return ServiceError(code, reason, message, metadata=metadata, violations=violations)


def failed_precondition(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return FAILED_PRECONDITION: the state forbids the call. Say which call changes the state."""
    return ServiceError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata=metadata)


def out_of_range(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return OUT_OF_RANGE: the position is no longer stored. Say where to begin instead."""
    return ServiceError(grpc.StatusCode.OUT_OF_RANGE, reason, message, metadata=metadata)


def not_found(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return NOT_FOUND. Say which name was not found, and how to list the names."""
    return ServiceError(grpc.StatusCode.NOT_FOUND, reason, message, metadata=metadata)


def already_exists(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return ALREADY_EXISTS. Say which resource exists."""
    return ServiceError(grpc.StatusCode.ALREADY_EXISTS, reason, message, metadata=metadata)


def aborted(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return ABORTED: another change was first. The caller reads again and decides again."""
    return ServiceError(grpc.StatusCode.ABORTED, reason, message, metadata=metadata)


def resource_exhausted(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return RESOURCE_EXHAUSTED: a limit is reached. Say which one, and what frees it."""
    return ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, reason, message, metadata=metadata)


def unavailable(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return UNAVAILABLE: a temporary problem. The caller may send the same call again after a back-off."""
    return ServiceError(grpc.StatusCode.UNAVAILABLE, reason, message, metadata=metadata)


def unimplemented(reason: str, message: str, **metadata: str) -> ServiceError:
    """Return UNIMPLEMENTED: this service does not serve the method. Say where to find it."""
    return ServiceError(grpc.StatusCode.UNIMPLEMENTED, reason, message, metadata=metadata)


def internal(error_id: str) -> ServiceError:
    """Return INTERNAL: a fault of the service. The log has its text under `error_id`."""
    message = f"internal error {error_id}: look for this id in the service's log; you may repeat the call"
    return ServiceError(grpc.StatusCode.INTERNAL, INTERNAL, message, metadata={"error_id": error_id})
