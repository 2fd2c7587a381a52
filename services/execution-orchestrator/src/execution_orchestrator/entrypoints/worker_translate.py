"""The worker protocol into the application's words and back. Payloads pass through as the JSON bytes they
are.
"""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from workflow.worker.v1 import task_pb2, worker_service_pb2

from execution_orchestrator.application.ports import HeartbeatClaim
from execution_orchestrator.application.sessions import Claim, Outbox, Stop, WorkerIdentity
from execution_orchestrator.domain.commands import Cancelled, Failed, HandedBack, Outcome, Succeeded
from execution_orchestrator.domain.decision import Outcome as ResultOutcome
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.payloads import problem_of
from execution_orchestrator.domain.plan import DEFAULT_QUEUE
from execution_orchestrator.domain.task import NO_ITEM, Lease, TaskKey

DEFAULT_NAMESPACE = "default"
MAX_FAILURE_TYPE_CHARACTERS = 256
MAX_PROGRESS_BYTES = 4096
NUL = "\x00"

_STATUS = {
    ResultOutcome.APPLIED: task_pb2.RESULT_STATUS_RECORDED,
    ResultOutcome.UNCHANGED: task_pb2.RESULT_STATUS_RECORDED,
    ResultOutcome.STALE: task_pb2.RESULT_STATUS_STALE,
    ResultOutcome.REJECTED: task_pb2.RESULT_STATUS_REJECTED,
}


def worker_of(hello: worker_service_pb2.Hello) -> WorkerIdentity:
    """Who the worker is."""
    return WorkerIdentity(
        hello.worker_id,
        hello.boot_id,
        hello.namespace or DEFAULT_NAMESPACE,
        frozenset(hello.task_types),
        frozenset(hello.queues or (DEFAULT_QUEUE,)),
        hello.slots,
    )


def claim_of(task: task_pb2.TaskRef) -> Claim:
    """The claim that the worker names. Raises ValueError for what can be none."""
    if NUL in task.task_id:
        raise ValueError("no task has such an id")
    key = TaskKey(task.task_id, task.item if task.HasField("item") else NO_ITEM)
    return Claim(UUID(task.execution_id), key, task.epoch, task.token)


def task_ref(claim: Claim) -> task_pb2.TaskRef:
    """The inverse of `claim_of`."""
    id_, key, epoch, token = claim
    item = None if key.item == NO_ITEM else key.item
    return task_pb2.TaskRef(execution_id=str(id_), task_id=key.task_id, item=item, epoch=epoch, token=token)


def outcome_of(result: task_pb2.TaskResult) -> Outcome:
    """What became of the task. What is no UTF-8 in an output is passed on, and refused with the rest of what
    can't be kept.
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
        case _:
            return HandedBack()


def _clean(text: str) -> str:
    """What Postgres can't store has no place in a failure's text."""
    return text.replace(NUL, "\ufffd")


def heartbeat_of(heartbeat: task_pb2.TaskHeartbeat) -> HeartbeatClaim:
    """A sign of life. Raises ValueError for what can be no claim."""
    claim = claim_of(heartbeat.task)
    progress = _progress_of(heartbeat.progress) if heartbeat.HasField("progress") else None
    return HeartbeatClaim(*claim, heartbeat.handler_alive, progress)


def _progress_of(progress: bytes) -> str | None:
    """Progress that can't be kept is no news: the lease is renewed all the same."""
    try:
        text = progress.decode()
    except UnicodeDecodeError:
        return None
    return None if len(progress) > MAX_PROGRESS_BYTES or problem_of(text, "the progress") else text


def lease_message(lease: Lease) -> task_pb2.Lease:
    """A lease as the worker gets it."""
    return task_pb2.Lease(
        task=task_ref(Claim(lease.execution_id, lease.key, lease.epoch, lease.token)),
        task_type=lease.task_type,
        attempt=lease.attempt,
        input=lease.input.encode(),
        start_to_close=duration(lease.start_to_close),
        heartbeat_timeout=None if lease.heartbeat_timeout is None else duration(lease.heartbeat_timeout),
        idempotency_key=lease.idempotency_key,
        workflow_id=lease.workflow_id,
        namespace=lease.namespace,
    )


def ack_message(claim: Claim, outcome: ResultOutcome) -> task_pb2.ResultAck:
    """The acknowledgement of a result."""
    return task_pb2.ResultAck(task=task_ref(claim), status=_STATUS[outcome])


def stop_message(stop: Stop) -> task_pb2.Cancel:
    """A handler to stop."""
    reason = f"CANCEL_REASON_{stop.reason}"
    return task_pb2.Cancel(task=task_ref(stop.claim), reason=reason, grace=duration(stop.grace))


def messages(outbox: Outbox) -> Iterable[worker_service_pb2.OrchestratorMessage]:
    """Everything that has gathered, in as few messages as there are kinds of it."""
    message = worker_service_pb2.OrchestratorMessage
    leases = [lease_message(lease) for lease in outbox.leases]
    if outbox.acks:
        acks = [ack_message(claim, outcome) for claim, outcome in outbox.acks]
        yield message(result_acks=worker_service_pb2.ResultAcks(acks=acks, leases=leases))
    elif leases:
        yield message(leases=worker_service_pb2.Leases(leases=leases))
    for ack in outbox.heartbeat_acks:
        stale = [task_ref(claim) for claim in ack.stale]
        yield message(
            heartbeat_acks=worker_service_pb2.HeartbeatAcks(heartbeat_id=ack.heartbeat_id, stale=stale)
        )
    if outbox.stops:
        yield message(cancels=worker_service_pb2.Cancels(cancels=map(stop_message, outbox.stops)))
    if outbox.drain:
        yield message(drain=worker_service_pb2.Drain())


def duration(span: timedelta) -> Duration:
    """A span as a message."""
    message = Duration()
    message.FromTimedelta(span)
    return message
