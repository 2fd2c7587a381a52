"""An error keeps code, reason, facts and violations on its way over the wire, and fits into trailers."""

from base64 import b64encode
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from service_kit.errors import (
    MAX_MESSAGE_CHARS,
    MAX_STATUS_BYTES,
    MAX_TRAILER_BYTES,
    STATUS_DETAILS_KEY,
    FieldViolation,
    ServiceError,
    from_rpc_error,
    internal,
    invalid_argument,
    not_found,
    to_status,
    trailer_bytes,
)


class ReceivedError(grpc.RpcError):
    """What a client's call raises."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = lambda: trailers


def test_a_client_gets_back_what_the_service_raised() -> None:
    violation = FieldViolation("tasks[2].when", "is no expression", "FIELD_INVALID")
    sent = invalid_argument("DEFINITION_INVALID", "tasks[2].when: correct it", violation, metadata={"n": "1"})
    trailers = [(STATUS_DETAILS_KEY, to_status(sent).SerializeToString())]

    got = from_rpc_error(ReceivedError(sent.code, sent.message, trailers))

    assert (got.code, got.reason, got.message) == (
        sent.code,
        "DEFINITION_INVALID",
        "tasks[2].when: correct it",
    )
    assert got.metadata == {"n": "1"}
    assert got.violations == (violation,)
    assert got.domain == "workflowsystem"


@pytest.mark.parametrize("trailers", [[], [(STATUS_DETAILS_KEY, b"\xff\xff")]])
def test_an_error_without_readable_details_still_has_its_code_and_sentence(
    trailers: list[tuple[str, bytes]],
) -> None:
    got = from_rpc_error(ReceivedError(grpc.StatusCode.UNAVAILABLE, "connection refused", trailers))
    assert (got.code, got.reason, got.message) == (grpc.StatusCode.UNAVAILABLE, "", "connection refused")


def test_an_error_without_violations_has_an_error_info_and_no_bad_request() -> None:
    status = to_status(not_found("WORKFLOW_NOT_FOUND", "list them", workflow_id="orders"))
    assert [detail.TypeName() for detail in status.details] == ["google.rpc.ErrorInfo"]
    info = error_details_pb2.ErrorInfo()

    assert status.details[0].Unpack(info)
    assert info.metadata == {"workflow_id": "orders"}


def test_many_long_violations_are_cut_until_the_status_fits_into_trailers() -> None:
    violations = [FieldViolation(f"tasks[{n}]" * 30, "é" * 5000) for n in range(200)]
    status = to_status(invalid_argument("DEFINITION_INVALID", "x" * 9000, *violations))

    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert status_pb2.Status.FromString(status.SerializeToString()) == status
    assert [detail.TypeName() for detail in status.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    ]


@pytest.mark.parametrize("character", ["a", "%", "é", "日", "😀", "\n", "\ud800"])
def test_a_long_error_in_any_script_fits_into_trailers_as_they_are_encoded(character: str) -> None:
    violations = [FieldViolation(f"input.f{n}", character * 400) for n in range(25)]
    error = invalid_argument(
        "INPUT_INVALID", character * 2_000, *violations, metadata={"value": character * 2_000}
    )
    status = to_status(error)

    encoded = quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")

    assert trailer_bytes(status) == len(encoded) + len(b64encode(status.SerializeToString()))
    assert trailer_bytes(status) <= MAX_TRAILER_BYTES
    assert len(status.message) > 150
    assert status.details[0].TypeName() == "google.rpc.ErrorInfo"


def test_a_message_that_fits_is_not_cut() -> None:
    for message in ("x" * MAX_MESSAGE_CHARS, "日" * 266, "😀" * 199):
        assert to_status(not_found("WORKFLOW_NOT_FOUND", message)).message == message


def test_an_internal_error_tells_its_id_and_where_to_look() -> None:
    error = internal("abc")

    assert error.code is grpc.StatusCode.INTERNAL
    assert error.metadata == {"error_id": "abc"}
    assert "look for this id" in error.message
    assert isinstance(error, ServiceError)
