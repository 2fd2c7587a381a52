"""The facts of a connected worker that operators see, as bytes of the contract's `ConnectedWorker`.

There are two parts: the identity of the worker, which never changes, and its state, which changes all the
time. Protobuf merges messages whose bytes follow each other, so a reader gets the whole from both parts.

The facts contain no secret. They leave out the tokens of claims, and the boot id, with which another process
could replace the session.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import nsmallest

from workflow_contract.messages import timestamp
from workflowsystem.execution.v1 import worker_pb2 as pb

from execution_orchestrator.application.workers.session import Held, WorkerIdentity, WorkerSession
from execution_orchestrator.domain.task import NO_ITEM, Claim


def identity_facts(
    worker: WorkerIdentity, protocol: pb.WorkerProtocol, session_id: str, peer: str, connect_time: datetime
) -> bytes:
    """Return the part of a connection that never changes."""
    return pb.ConnectedWorker(
        namespace=worker.namespace,
        worker_id=worker.worker_id,
        session_id=session_id,
        protocol=protocol,
        task_types=sorted(worker.task_types),
        queues=sorted(worker.queues),
        labels=dict(worker.labels),
        sdk=worker.sdk,
        peer=peer,
        connect_time=timestamp(connect_time),
        slots=worker.slots,
    ).SerializeToString()


def session_facts(session: WorkerSession, max_tasks: int, now: datetime) -> bytes:
    """Return the state of a session, with `max_tasks` of the tasks in its hands, the longest held first."""
    longest = nsmallest(max_tasks, session.held(), key=_held_since)
    monotonic = session.monotonic()
    return pb.ConnectedWorker(
        last_message_time=timestamp(session.last_message_time),
        busy_slots=session.held_count,
        credits=session.credits,
        draining=session.draining,
        tasks=[_task(claim, held, now, monotonic) for claim, held in longest],
    ).SerializeToString()


def unary_facts(last_message_time: datetime) -> bytes:
    """Return the state of a worker that asks with LeaseTasks."""
    return pb.ConnectedWorker(last_message_time=timestamp(last_message_time)).SerializeToString()


def merged(parts: Iterable[bytes], replica: str, update_time: datetime) -> pb.ConnectedWorker:
    """Return the whole of what a replica wrote about a worker, and when it wrote it."""
    message = pb.ConnectedWorker.FromString(b"".join(parts))
    message.replica = replica
    message.update_time.FromDatetime(update_time)
    return message


def _held_since(item: tuple[Claim, Held]) -> float:
    """Return since when the claim is held. A claim from another replica is older than all of this one."""
    since = item[1].since
    return float("-inf") if since is None else since


def _task(claim: Claim, held: Held, now: datetime, monotonic: float) -> pb.HeldTask:
    """Return the message of a claim. It is made once, because its bytes never change."""
    shown: pb.HeldTask | None = held.shown
    if shown is None:
        since = None if held.since is None else now - timedelta(seconds=monotonic - held.since)
        held.shown = shown = pb.HeldTask(
            execution_id=str(claim.execution_id),
            task_id=claim.key.task_id,
            item=None if claim.key.item == NO_ITEM else claim.key.item,
            workflow_id=held.workflow_id,
            task_type=held.task_type,
            attempt=held.attempt,
            lease_time=None if since is None else timestamp(since),
        )
    return shown
