"""Messages to a worker. Each gathers items, up to the number of bytes that the worker can receive.

One item is never split, and every item fits: the largest is a lease with an input of 1 MiB. So a message has
at most the size that was agreed with the worker.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol, TypeVar

from workflowsystem.worker.v1.worker_service_pb2 import (
    Cancels,
    Drain,
    HeartbeatAcks,
    Hello,
    Leases,
    OrchestratorMessage,
    ResultAcks,
)

from execution_orchestrator.application.workers.outbox import HeartbeatAck, Outbox
from execution_orchestrator.entrypoints import worker_translate as translate

MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""The largest message to a worker that can receive this much. gRPC accepts 4 MiB."""

ENVELOPE_BYTES: Final = 64
"""The parts of a message that are not items."""

ITEM_FRAME_BYTES: Final = 6
"""The tag and the length before an item in its message."""


class _Sized(Protocol):
    def ByteSize(self) -> int: ...


Item = TypeVar("Item", bound=_Sized)


class Packed(NamedTuple):
    """A message, and how many leases it carries."""

    message: OrchestratorMessage
    leases: int = 0


def agreed_bytes(hello: Hello) -> int:
    """Return the size of the largest message to this worker. Its Hello has been checked."""
    return min(hello.maximum_message_bytes or MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)


def gathered(items: Iterable[Item], max_bytes: int) -> Iterator[tuple[list[Item], int]]:
    """Group items, in order, so that a message with a group has at most `max_bytes`, or one item.

    Yield groups and their bytes.
    """
    max_bytes -= ENVELOPE_BYTES
    group: list[Item] = []
    size = 0
    for item in items:
        weight = item.ByteSize() + ITEM_FRAME_BYTES
        if group and size + weight > max_bytes:
            yield group, size
            group, size = [], 0
        group.append(item)
        size += weight
    if group:
        yield group, size


def messages(outbox: Outbox, max_bytes: int = MAX_MESSAGE_BYTES) -> Iterator[Packed]:
    """Yield everything that waits, in few messages of at most `max_bytes`.

    Leases keep their order over all messages.
    """
    leases = gathered(map(translate.lease_message, outbox.leases), max_bytes)
    next_leases, size = next(leases, ([], 0))
    for acks, ack_bytes in gathered((translate.ack_message(*ack) for ack in outbox.acks), max_bytes):
        riding = next_leases if ack_bytes + size <= max_bytes - ENVELOPE_BYTES else []
        yield Packed(OrchestratorMessage(result_acks=ResultAcks(acks=acks, leases=riding)), len(riding))
        if riding:
            next_leases, size = next(leases, ([], 0))
    while next_leases:
        yield Packed(OrchestratorMessage(leases=Leases(leases=next_leases)), len(next_leases))
        next_leases, size = next(leases, ([], 0))
    for ack in outbox.heartbeat_acks:
        yield Packed(OrchestratorMessage(heartbeat_acks=_heartbeat_acks(ack)))
    for cancels, _ in gathered(map(translate.cancel_message, outbox.cancels), max_bytes):
        yield Packed(OrchestratorMessage(cancels=Cancels(cancels=cancels)))
    if outbox.drain:
        yield Packed(OrchestratorMessage(drain=Drain()))


def _heartbeat_acks(ack: HeartbeatAck) -> HeartbeatAcks:
    """Return an answer to heartbeats. It repeats references of them, so it is never larger than they are."""
    stale = [*map(translate.task_ref, ack.stale), *ack.unreadable]
    return HeartbeatAcks(heartbeat_id=ack.heartbeat_id, stale=stale)  # type: ignore[arg-type]
