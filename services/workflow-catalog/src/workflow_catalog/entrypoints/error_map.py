"""Map each error of the catalog to its gRPC status."""

from __future__ import annotations

from service_kit import errors
from service_kit.data import database_errors
from service_kit.errors import FieldViolation, ServiceError

from workflow_catalog.domain.errors import (
    CatalogError,
    DefinitionInvalidError,
    DefinitionTooLargeError,
    DefinitionUnstorableError,
    RequestIdReusedError,
    StaleEtagError,
    StatusConflictError,
    TooManyChecksError,
    VersionNotFoundError,
    WorkflowAlreadyExistsError,
    WorkflowNotFoundError,
)


def map_error(error: Exception) -> ServiceError | None:
    """Return the status for an error, or None for a bug in the catalog, which the caller gets as INTERNAL."""
    if isinstance(error, CatalogError):
        return to_service_error(error)
    return database_errors.map_error(error)


def to_service_error(error: CatalogError) -> ServiceError:
    """Return the status for an error of the catalog. Its reason is a value of the contract's ErrorReason."""
    message = str(error)
    match error:
        case WorkflowNotFoundError(workflow_id=workflow_id):
            return errors.not_found("WORKFLOW_NOT_FOUND", message, workflow_id=workflow_id)
        case VersionNotFoundError(workflow_id=workflow_id, version=version):
            return errors.not_found(
                "VERSION_NOT_FOUND", message, workflow_id=workflow_id, version=str(version)
            )
        case WorkflowAlreadyExistsError(workflow_id=workflow_id):
            return errors.already_exists("WORKFLOW_ALREADY_EXISTS", message, workflow_id=workflow_id)
        case RequestIdReusedError():
            return errors.already_exists("REQUEST_ID_REUSED", message)
        case StatusConflictError(workflow_id=workflow_id, status=status, method=method):
            return errors.failed_precondition(
                "WORKFLOW_STATUS_CONFLICT", message, workflow_id=workflow_id, status=status, method=method
            )
        case StaleEtagError(workflow_id=workflow_id):
            return errors.aborted("ETAG_STALE", message, workflow_id=workflow_id)
        case TooManyChecksError(limit=limit):
            return errors.resource_exhausted(errors.OVERLOADED, message, limit=str(limit))
        case _:
            return _bad_definition(error)


def _bad_definition(error: CatalogError) -> ServiceError:
    message = str(error)
    match error:
        case DefinitionInvalidError(problems=problems):
            violations = [
                FieldViolation(problem.field, problem.description, "DEFINITION_INVALID")
                for problem in problems
            ]
            return errors.invalid_argument("DEFINITION_INVALID", message, *violations)
        case DefinitionTooLargeError(size_bytes=size, limit_bytes=limit):
            return errors.invalid_argument(
                "PAYLOAD_TOO_LARGE",
                message,
                FieldViolation("definition", f"over {limit:,} bytes"),
                metadata={"size_bytes": str(size), "limit_bytes": str(limit)},
            )
        case DefinitionUnstorableError(problem=problem):
            violation = FieldViolation(f"definition.{problem.field}", problem.description, "PAYLOAD_INVALID")
            return errors.invalid_argument("PAYLOAD_INVALID", message, violation)
        case _:
            raise AssertionError(f"{type(error).__name__} has no status: add it to error_map.py")
