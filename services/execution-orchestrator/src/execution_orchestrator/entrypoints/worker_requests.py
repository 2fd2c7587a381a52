"""The items of workers' messages, read one by one. An item that cannot be read gets its own answer."""

from collections.abc import Iterable

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from service_kit.errors import (
    FIELD_INVALID,
    FieldViolation,
    ServiceError,
    failed_precondition,
    invalid_argument,
)
from workflow_contract.names import is_reserved
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from execution_orchestrator.application.ports.store import HeartbeatClaim
from execution_orchestrator.application.workers.reports import Report
from execution_orchestrator.application.workers.session import WorkerIdentity
from execution_orchestrator.domain.commands import Failed, Succeeded
from execution_orchestrator.domain.failure import PAYLOAD_INVALID, Failure
from execution_orchestrator.entrypoints import worker_translate as translate

MAX_NAMED_FIELDS = 8
"""The most unknown fields that an error names."""

MAX_REFERENCE_BYTES = 1024
"""The size of a reference that names no claim. The answer to a longer one leaves it out, to stay small."""


def identity_of(hello: pb.Hello, path: str) -> WorkerIdentity:
    """Return who the worker is. Raise ServiceError if a handler has a name that the engine reserves."""
    reserved = [
        FieldViolation(f"{path}.task_types[{place}]", f"`{task_type}` is run by the engine, not by workers")
        for place, task_type in enumerate(hello.task_types)
        if is_reserved(task_type)
    ]
    if reserved:
        names = "`workflow` and names that begin with `wait.`"
        message = f"{names} are reserved for the engine ({reserved[0].description}); rename the handler"
        raise invalid_argument(FIELD_INVALID, message, *reserved)
    return translate.worker_of(hello)


def report_of(result: task_pb2.TaskResult) -> Report | task_pb2.TaskRef:
    """Return the report, or only its reference if that can name no claim."""
    try:
        claim = translate.claim_of(result.task)
    except ValueError:
        return _bounded(result.task)
    outcome = translate.outcome_of(result)
    if outcome is None:
        return Report(result.task, claim, Failed(_no_outcome(result)), rejected=True)
    return Report(result.task, claim, outcome)


def _no_outcome(result: task_pb2.TaskResult) -> Failure:
    """Return the failure of a result without an outcome that this release knows.

    A retry may reach a worker of another release, so the retry policy is charged.
    """
    message = (
        f"the result has no outcome that this orchestrator knows ({_fields_of(result)}); set `output`,"
        " `failure`, `cancelled` or `handed_back`, or run a worker and an orchestrator of the same release"
    )
    return Failure(PAYLOAD_INVALID, message)


def output_chars(report: Report) -> int:
    """Return the number of characters of the output, as JSON."""
    return len(report.outcome.output) if isinstance(report.outcome, Succeeded) else 0


def check_output(report: Report) -> None:
    """Check the output here, on a thread. The result stays with the output, so the event loop need not check
    it.
    """
    if isinstance(report.outcome, Succeeded):
        _ = report.outcome.checked


def claims_of(
    heartbeats: Iterable[task_pb2.TaskHeartbeat],
) -> tuple[list[HeartbeatClaim], list[task_pb2.TaskRef]]:
    """Return the claims of heartbeats, and the references that can name no claim."""
    claims, unreadable = [], []
    for heartbeat in heartbeats:
        try:
            claims.append(translate.heartbeat_of(heartbeat))
        except ValueError:
            unreadable.append(_bounded(heartbeat.task))
    return claims, unreadable


def out_of_turn(rule: str) -> ServiceError:
    """Return the error of a worker that breaks the order of the session's messages."""
    return failed_precondition("SESSION_PROTOCOL_VIOLATION", f"{rule}; connect again and keep to it")


def unknown_message(message: pb.WorkerMessage) -> ServiceError:
    """Return the error of a message that is not in this release's contract, with the number of its field."""
    return failed_precondition(
        "SESSION_PROTOCOL_VIOLATION",
        f"this orchestrator does not know the kind of the message ({_fields_of(message)}); if the worker is"
        " of a newer release, update the orchestrators first",
    )


def _fields_of(message: Message) -> str:
    """Name the fields of a message that this release does not know."""
    fields = UnknownFieldSet(message)
    numbers = sorted({fields[place].field_number for place in range(len(fields))})
    if not numbers:
        return "it has no field"
    return "unknown fields: " + ", ".join(map(str, numbers[:MAX_NAMED_FIELDS]))


def _bounded(reference: task_pb2.TaskRef) -> task_pb2.TaskRef:
    return reference if reference.ByteSize() <= MAX_REFERENCE_BYTES else task_pb2.TaskRef()
