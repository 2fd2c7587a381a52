import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from workflow_sdk import errors
from workflow_sdk.errors import WorkflowError


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_code_has_an_exception(code: grpc.StatusCode) -> None:
    assert issubclass(errors.error_class(code), WorkflowError)


def test_every_exception_stands_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, WorkflowError):
            assert f"{name} " in errors.__doc__


def test_reason_metadata_and_violations_are_read_from_the_details() -> None:
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="fix it")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="DEFINITION_INVALID", metadata={"a": "b"}))
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="tasks[2].needs[0]", description="names no task")
    status.details.add().Pack(bad)

    error = errors.from_status(status)

    assert isinstance(error, errors.InvalidRequestError)
    assert (error.reason, error.metadata) == ("DEFINITION_INVALID", {"a": "b"})
    assert str(error) == "fix it\n  tasks[2].needs[0]: names no task"


def test_a_conflict_is_one_of_three() -> None:
    for code in (
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
    ):
        assert issubclass(errors.error_class(code), errors.ConflictError)


def refused_by_grpc(details: str) -> WorkflowError:
    trailers = grpc.aio.Metadata()
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return errors.from_rpc_error(grpc.aio.AioRpcError(code, trailers, trailers, details))


def test_a_message_that_grpc_refuses_for_its_size_is_no_overload() -> None:
    """Who sends it again is refused again."""
    for which in ("Sent", "CLIENT: Received", "SERVER: Received"):
        error = refused_by_grpc(f"{which} message larger than max (4950127 vs. 4194304)")
        assert isinstance(error, errors.InvalidRequestError)
        assert error.reason == "PAYLOAD_TOO_LARGE"
        assert "4950127 vs. 4194304" in error.message
    assert isinstance(refused_by_grpc("too much waits"), errors.OverloadedError)


def refused(*fields: str) -> WorkflowError:
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="not a UUID")
    bad = error_details_pb2.BadRequest()
    for field in fields:
        bad.field_violations.add(field=field, description="must be a valid UUID")
    status.details.add().Pack(bad)
    return errors.from_status(status)


def test_a_text_that_is_not_an_id_of_an_execution_is_not_found() -> None:
    """A program that looks up the id of a URL answers 404, not 500."""
    error = refused("execution_id")

    assert isinstance(error, errors.NotFoundError)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_request_with_anything_else_wrong_is_an_invalid_request() -> None:
    for fields in (("workflow_id",), ("execution_id", "timeout"), ()):
        assert isinstance(refused(*fields), errors.InvalidRequestError)
