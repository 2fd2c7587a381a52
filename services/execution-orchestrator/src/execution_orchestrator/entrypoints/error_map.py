"""The errors of the application as callers see them. Any other error is INTERNAL, without its text."""

from service_kit.data import database_errors
from service_kit.errors import (
    DEPENDENCY_UNAVAILABLE,
    PAYLOAD_INVALID,
    FieldViolation,
    ServiceError,
    already_exists,
    failed_precondition,
    invalid_argument,
    not_found,
    unavailable,
)

from execution_orchestrator.application.engine.work import (
    ExecutionLockedError,
    ExecutionNotFoundError,
    RequestIdReusedError,
    RunNotStartedError,
    UndecidableError,
)
from execution_orchestrator.application.ports.catalog import CatalogUnavailableError, WorkflowNotFoundError
from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.store import (
    BadDataError,
    RetryTransactionError,
    StoreUnavailableError,
)
from execution_orchestrator.application.starting.input_schema import InputSchemaError
from execution_orchestrator.application.starting.starts import WorkflowNotActiveError
from execution_orchestrator.domain.errors import StatusConflictError, TaskTypeUnknownError


def map_error(error: Exception) -> ServiceError | None:
    """Return the error for the caller, or None if the error is a defect of ours."""
    match error:
        case ServiceError():
            return error
        case ExecutionNotFoundError():
            message = f"no execution {error} in this namespace; list them with ListExecutions"
            return not_found("EXECUTION_NOT_FOUND", message, execution_id=str(error))
        case WorkflowNotFoundError():
            missing = error.query
            return not_found(
                error.reason, str(error), workflow_id=missing.workflow_id, version=str(missing.version)
            )
        case WorkflowNotActiveError():
            return failed_precondition(
                "WORKFLOW_NOT_ACTIVE", str(error), workflow_id=error.workflow_id, status=error.status
            )
        case InputSchemaError():
            return invalid_argument(
                "INPUT_SCHEMA_VIOLATION",
                str(error),
                *(FieldViolation(path, problem) for path, problem in error.violations),
                metadata={"workflow_id": error.workflow_id, "version": str(error.version)},
            )
        case TaskTypeUnknownError():
            return failed_precondition(
                "TASK_TYPE_UNKNOWN", str(error), task_id=error.task_id, task_type=error.task_type
            )
        case StatusConflictError():
            return failed_precondition(
                "EXECUTION_STATUS_CONFLICT", str(error), status=error.status, method=error.method
            )
        case RunNotStartedError():
            return failed_precondition(
                "RUN_NOT_STARTED",
                f"{error}; wait with run_number 0 for the run that it is in",
                execution_id=str(error.execution_id),
                run_number=str(error.run_number),
            )
        case UndecidableError():
            message = (
                f"the engine cannot decide what follows, so it changed nothing: {error}. Repair the cause "
                "and call again (if the execution is quarantined, after ReleaseExecution), or cancel it"
            )
            return failed_precondition("EXECUTION_UNDECIDABLE", message)
        case RequestIdReusedError():
            message = "this request_id was used with another body; take a new one for a new request"
            return already_exists("REQUEST_ID_REUSED", message)
        case BadDataError():
            message = f"a value cannot be stored ({error}); change it and send the request again"
            return invalid_argument(PAYLOAD_INVALID, message, FieldViolation("", "cannot be stored"))
        case _:
            return _unavailable(error)


def _unavailable(error: Exception) -> ServiceError | None:
    match error:
        case StoreUnavailableError() | RetryTransactionError():
            cause = error.__cause__
            known = database_errors.map_error(cause) if isinstance(cause, Exception) else None
            return known or database_errors.database_unavailable()
        case ExecutionLockedError():
            message = (
                f"another transaction of the database holds execution {error}, so nothing was changed; "
                "send the same call again"
            )
            return unavailable("EXECUTION_LOCKED", message, execution_id=str(error))
        case CatalogUnavailableError():
            message = "the catalog does not answer, so nothing was started; try again"
            return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="catalog")
        case HintsUnavailableError():
            message = "Redis does not answer; executions go on without it, try again once it is back"
            return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="redis")
        case _:
            return database_errors.map_error(error)
