"""Every refusal has a status of its own and a reason of the contract."""

from __future__ import annotations

import grpc
import pytest
from workflow_catalog.domain import errors
from workflow_catalog.domain.errors import CatalogError
from workflow_catalog.domain.problem import Problem
from workflow_catalog.entrypoints.error_map import map_error
from workflowsystem.type.v1 import error_reason_pb2

EXAMPLES: list[tuple[CatalogError, grpc.StatusCode, str]] = [
    (errors.WorkflowNotFoundError("default", "orders"), grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    (errors.VersionNotFoundError("default", "orders", 2, 1), grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND"),
    (
        errors.WorkflowAlreadyExistsError("default", "orders"),
        grpc.StatusCode.ALREADY_EXISTS,
        "WORKFLOW_ALREADY_EXISTS",
    ),
    (errors.RequestIdReusedError("r-1"), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    (
        errors.StatusConflictError("orders", "ARCHIVED", "UpdateWorkflow", "create another one"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "WORKFLOW_STATUS_CONFLICT",
    ),
    (errors.StaleEtagError("orders"), grpc.StatusCode.ABORTED, "ETAG_STALE"),
    (
        errors.DefinitionInvalidError("orders", [Problem("tasks[0].id", "is missing")]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "DEFINITION_INVALID",
    ),
    (errors.DefinitionTooLargeError(2, 1), grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE"),
    (
        errors.DefinitionUnstorableError(Problem("output", "holds a NUL")),
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAYLOAD_INVALID",
    ),
    (errors.TooManyChecksError(16), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
]


@pytest.mark.parametrize(("error", "code", "reason"), EXAMPLES)
def test_a_refusal_has_its_status_and_reason(error: CatalogError, code: grpc.StatusCode, reason: str) -> None:
    mapped = map_error(error)

    assert mapped is not None
    assert (mapped.code, mapped.reason, mapped.message) == (code, reason, str(error))
    assert f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no mapping


def test_every_refusal_is_among_the_examples() -> None:
    assert {type(error) for error, _, _ in EXAMPLES} == set(CatalogError.__subclasses__())


def test_a_defect_is_nobodys_status() -> None:
    assert map_error(KeyError("x")) is None
