"""Groups items into messages that the orchestrator can receive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from workflowsystem.worker.v1.worker_service_pb2 import Welcome

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""The largest message, unless the orchestrator announces a smaller limit. A single item always fits: a result
has at most 1.1 MiB.
"""

ENVELOPE_BYTES = 64
"""The size of a message without its items."""

ITEM_FRAME_BYTES = 6
"""The size of the tag and the length before an item in its message."""


class _Sized(Protocol):
    def ByteSize(self) -> int: ...  # noqa: N802 - protobuf's name


Item = TypeVar("Item", bound=_Sized)


def agreed_bytes(welcome: Welcome) -> int:
    """Return the size of the largest message to this orchestrator."""
    return min(welcome.maximum_message_bytes or MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)


def gathered(items: Iterable[Item], max_items: int, max_bytes: int) -> Iterator[list[Item]]:
    """Group items, in order: each group has at most `max_items`, or one item.

    A message with a group has at most `max_bytes`, unless it has one item.
    """
    max_bytes -= ENVELOPE_BYTES
    group: list[Item] = []
    size = 0
    for item in items:
        weight = item.ByteSize() + ITEM_FRAME_BYTES
        if group and (len(group) == max_items or size + weight > max_bytes):
            yield group
            group, size = [], 0
        group.append(item)
        size += weight
    if group:
        yield group
