"""The translation of the worker protocol into the application's words and back. The bytes of payloads pass
unchanged.
"""

from uuid import UUID

from workflow_contract.messages import duration
from workflow_contract.names import DEFAULT_NAMESPACE, DEFAULT_QUEUE
from workflowsystem.worker.v1 import task_pb2, worker_service_pb2

from execution_orchestrator.application.ports.store import HeartbeatClaim
from execution_orchestrator.application.workers.outbox import Cancel, Reference, ReportStatus
from execution_orchestrator.application.workers.session import WorkerIdentity
from execution_orchestrator.domain.commands import Cancelled, Failed, HandedBack, Succeeded, TaskOutcome
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.payloads import problem_of
from execution_orchestrator.domain.task import NO_ITEM, Claim, Lease, TaskKey

MAX_FAILURE_TYPE_CHARACTERS = 256
MAX_PROGRESS_BYTES = 4096
MAX_TASK_ID_CHARACTERS = 63
MAX_TOKEN_BYTES = 64
UUID_CHARACTERS = 36
NUL = "\x00"


def worker_of(hello: worker_service_pb2.Hello) -> WorkerIdentity:
    """Return who the worker is."""
    return WorkerIdentity(
        hello.worker_id,
        hello.boot_id,
        hello.namespace or DEFAULT_NAMESPACE,
        frozenset(hello.task_types),
        frozenset(hello.queues or (DEFAULT_QUEUE,)),
        hello.slots,
        tuple(sorted(hello.labels.items())),
        hello.sdk,
    )


def claim_of(task: task_pb2.TaskRef) -> Claim:
    """Return the claim that the worker names. Raise ValueError if the reference can name no claim."""
    if NUL in task.task_id or not 0 < len(task.task_id) <= MAX_TASK_ID_CHARACTERS:
        raise ValueError("no task has such an id")
    if len(task.execution_id) != UUID_CHARACTERS or len(task.token) > MAX_TOKEN_BYTES:
        raise ValueError("no claim has such an execution or token")
    key = TaskKey(task.task_id, task.item if task.HasField("item") else NO_ITEM)
    return Claim(UUID(task.execution_id), key, task.epoch, task.token)


def task_ref(claim: Claim) -> task_pb2.TaskRef:
    """Return the reference that names a claim to the worker."""
    id_, key, epoch, token = claim
    item = None if key.item == NO_ITEM else key.item
    return task_pb2.TaskRef(execution_id=str(id_), task_id=key.task_id, item=item, epoch=epoch, token=token)


def outcome_of(result: task_pb2.TaskResult) -> TaskOutcome | None:
    """Return the outcome of the task, or None for a result without an outcome.

    If the bytes of an output are not UTF-8, pass them on: the domain refuses them, as it refuses everything
    that cannot be stored.
    """
    match result.WhichOneof("outcome"):
        case "output":
            return Succeeded(result.output.decode(errors="surrogateescape"))
        case "failure":
            failure = result.failure
            return Failed(
                Failure(
                    _clean(failure.type)[:MAX_FAILURE_TYPE_CHARACTERS] or "Error",
                    _clean(failure.message),
                    _clean(failure.details),
                    failure.non_retryable,
                )
            )
        case "cancelled":
            return Cancelled()
        case "handed_back":
            return HandedBack()
        case _:
            return None


def _clean(text: str) -> str:
    """Replace characters that Postgres cannot store."""
    return text.replace(NUL, "\ufffd")


def heartbeat_of(heartbeat: task_pb2.TaskHeartbeat) -> HeartbeatClaim:
    """Return what a heartbeat says of a claim. Raise ValueError if its reference can name no claim."""
    claim = claim_of(heartbeat.task)
    progress = _progress_of(heartbeat.progress) if heartbeat.HasField("progress") else None
    return HeartbeatClaim(claim, heartbeat.handler_alive, progress)


def _progress_of(progress: bytes) -> str | None:
    """Return the progress, or None if it cannot be stored: the lease is renewed all the same."""
    try:
        text = progress.decode()
    except UnicodeDecodeError:
        return None
    return None if len(progress) > MAX_PROGRESS_BYTES or problem_of(text, "progress") else text


def lease_message(lease: Lease) -> task_pb2.Lease:
    """Return a lease as the worker gets it."""
    return task_pb2.Lease(
        task=task_ref(lease.claim),
        task_type=lease.task_type,
        attempt=lease.attempt,
        input=lease.input.encode(),
        start_to_close=duration(lease.start_to_close),
        heartbeat_timeout=None if lease.heartbeat_timeout is None else duration(lease.heartbeat_timeout),
        idempotency_key=lease.idempotency_key,
        workflow_id=lease.workflow_id,
        namespace=lease.namespace,
    )


def ack_message(reference: Reference, status: ReportStatus) -> task_pb2.ResultAck:
    """Return the acknowledgement of a result. `reference` is the TaskRef that the worker sent."""
    return task_pb2.ResultAck(task=reference, status=f"RESULT_STATUS_{status}")  # type: ignore[arg-type]


def cancel_message(cancel: Cancel) -> task_pb2.Cancel:
    """Return an order to stop a handler as a message."""
    reason = f"CANCEL_REASON_{cancel.reason}"
    return task_pb2.Cancel(task=task_ref(cancel.claim), reason=reason, grace=duration(cancel.grace))
