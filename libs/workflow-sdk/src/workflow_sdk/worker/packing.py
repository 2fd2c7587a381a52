"""Messages that gRPC lets through: items are gathered up to a number of items and of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

LARGEST_MESSAGE_BYTES = 2 * 1024 * 1024
"""Items in one message, as ByteSize counts them. A single item may be larger; a result has at most 1.1 MiB.
"""

ITEM_FRAME_BYTES = 6
"""The tag and the length that stand before an item in its message."""


class _Sized(Protocol):
    def ByteSize(self) -> int: ...  # noqa: N802 - protobuf's name


Item = TypeVar("Item", bound=_Sized)


def gathered(
    items: Iterable[Item], max_items: int, max_bytes: int = LARGEST_MESSAGE_BYTES
) -> Iterator[list[Item]]:
    """Group items, in order: each group has at most `max_items` and `max_bytes`, or one item."""
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
