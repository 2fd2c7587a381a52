"""The one error that a service lets a caller see, and its form on the wire.

    ServiceError                 code, reason (of the enum ErrorReason), a sentence with the next step
      invalid_argument(...)      INVALID_ARGUMENT      the request is wrong whatever the state is: change it
      failed_precondition(...)   FAILED_PRECONDITION   the state forbids it: change the state first
      out_of_range(...)          OUT_OF_RANGE          past the end of what is kept
      not_found(...)             NOT_FOUND
      already_exists(...)        ALREADY_EXISTS
      aborted(...)               ABORTED               lost a race: read again, decide again, send again
      resource_exhausted(...)    RESOURCE_EXHAUSTED    a limit is reached: wait, then send the same again
      unavailable(...)           UNAVAILABLE           send the same again after a back-off
      unimplemented(...)         UNIMPLEMENTED
      internal(...)              INTERNAL              ours; carries an error id that stands in the log

On the wire it is `google.rpc.Status` with one `ErrorInfo`, for bad input one `BadRequest`, and for OVERLOADED
one `RetryInfo`, in the trailing metadata `grpc-status-details-bin`. Clients take 8 KiB of trailers by
default. Of larger ones they drop some, and report RESOURCE_EXHAUSTED instead. On the wire the details are
base64, and the message is repeated in percent-encoding, which makes 12 bytes of an emoji. `to_status` cuts by
these bytes.
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
# The reasons that this library itself gives; names of values of the contract's enum ErrorReason.
FIELD_INVALID = "FIELD_INVALID"
PAYLOAD_INVALID = "PAYLOAD_INVALID"
PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
OVERLOADED = "OVERLOADED"
DRAINING = "DRAINING"
METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
INTERNAL = "INTERNAL"
OVERLOADED_RETRY_SECONDS = 1
"""How long a caller waits after OVERLOADED; most of what piles up is gone by then."""
STATUS_DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_CHARS = 1_000
MAX_DESCRIPTION_CHARS = 300
MAX_VIOLATIONS = 20
MAX_STATUS_BYTES = 4_096
MAX_ENCODED_MESSAGE_BYTES = 2_400
"""Of the message in percent-encoding."""
MAX_TRAILER_BYTES = 7_168
"""Of message and details as they are encoded; the rest of 8 KiB is for names and for trailers of handlers."""

_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that is wrong: `field` is its path in the request (`tasks[2].when`), `description` a phrase.

    An empty `field` is the whole request. An empty `reason` is that of the error.
    """

    field: str
    description: str
    reason: str = ""


class ServiceError(Exception):
    """An error meant for the caller; everything else a handler raises becomes INTERNAL without its text.

    `message` names the next step. `reason` is the name of a value of the enum ErrorReason. `metadata`
    holds the facts a program needs (ids, limits); never secrets.
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
    """The error as `google.rpc.Status`, cut so that it fits into trailing metadata as it is encoded there."""
    message = _cut_encoded(_cut(error.message, MAX_MESSAGE_CHARS), MAX_ENCODED_MESSAGE_BYTES)
    for kept in (MAX_VIOLATIONS, 8, 3, 1, 0):
        status = _status(error, message, error.violations[:kept])
        if status.ByteSize() <= MAX_STATUS_BYTES and trailer_bytes(status) <= MAX_TRAILER_BYTES:
            break
    return status


def trailer_bytes(status: status_pb2.Status) -> int:
    """What message and details take in trailing metadata: percent-encoding and base64."""
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
    """The text with at most `limit` characters, and without halves of surrogate pairs."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_encoded(text: str, limit: int) -> str:
    """The beginning of the text that takes at most `limit` bytes in percent-encoding."""
    if _encoded_bytes(text) <= limit:
        return text
    left = limit - _encoded_bytes("…")
    for position, character in enumerate(text):
        left -= _encoded_bytes(character)
        if left < 0:
            return text[:position] + "…"
    return text


def _encoded_bytes(text: str) -> int:
    """The bytes of a `grpc-message`: `%` and all but printable ASCII take three for each byte of UTF-8."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """What a client call failed with, as a ServiceError; the reason is empty where the peer sent none.

    Takes `grpc.aio.AioRpcError` and the synchronous channel's errors alike; raises nothing.
    """
    call: Any = error  # grpc types RpcError without the call's methods
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
    """The request itself is wrong; say which field, and what to send instead.

    Give at least one violation: callers find it as `BadRequest`, which the contract promises.
    """
    code = grpc.StatusCode.INVALID_ARGUMENT
    return ServiceError(code, reason, message, metadata=metadata, violations=violations)


def failed_precondition(reason: str, message: str, **metadata: str) -> ServiceError:
    """The present state forbids it; say which call changes that."""
    return ServiceError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata=metadata)


def out_of_range(reason: str, message: str, **metadata: str) -> ServiceError:
    """A position past what is kept; say where to begin instead."""
    return ServiceError(grpc.StatusCode.OUT_OF_RANGE, reason, message, metadata=metadata)


def not_found(reason: str, message: str, **metadata: str) -> ServiceError:
    """Say what was looked for, and how to list what there is."""
    return ServiceError(grpc.StatusCode.NOT_FOUND, reason, message, metadata=metadata)


def already_exists(reason: str, message: str, **metadata: str) -> ServiceError:
    """Say which resource stands in the way."""
    return ServiceError(grpc.StatusCode.ALREADY_EXISTS, reason, message, metadata=metadata)


def aborted(reason: str, message: str, **metadata: str) -> ServiceError:
    """A race was lost; the caller reads again and decides again."""
    return ServiceError(grpc.StatusCode.ABORTED, reason, message, metadata=metadata)


def resource_exhausted(reason: str, message: str, **metadata: str) -> ServiceError:
    """A limit is reached; say which, and what frees it."""
    return ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, reason, message, metadata=metadata)


def unavailable(reason: str, message: str, **metadata: str) -> ServiceError:
    """Passing trouble; the same call may be sent again after a back-off."""
    return ServiceError(grpc.StatusCode.UNAVAILABLE, reason, message, metadata=metadata)


def unimplemented(reason: str, message: str, **metadata: str) -> ServiceError:
    """Not served here; say where it is."""
    return ServiceError(grpc.StatusCode.UNIMPLEMENTED, reason, message, metadata=metadata)


def internal(error_id: str) -> ServiceError:
    """A fault of ours; its text stays in the log under `error_id`."""
    message = f"internal error {error_id}: look for this id in the service's log; the call may be repeated"
    return ServiceError(grpc.StatusCode.INTERNAL, INTERNAL, message, metadata={"error_id": error_id})
