"""Definitions in memory, by their content hash. Content never changes, so nothing here can be stale."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class ContentCache(Generic[T]):
    """Values by content hash, up to a number of bytes in all; those not asked for longest leave first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, content_hash: str) -> T | None:
        """The value, or None."""
        found = self._values.get(content_hash)
        if found is None:
            return None
        self._values.move_to_end(content_hash)
        return found[0]

    def put(self, content_hash: str, value: T, size_bytes: int) -> None:
        """Keep a value that takes about `size_bytes`; one over the limit is not kept."""
        if content_hash in self._values or size_bytes > self._limit_bytes:
            return
        self._values[content_hash] = (value, size_bytes)
        self._size_bytes += size_bytes
        while self._size_bytes > self._limit_bytes:
            _, (_, freed_bytes) = self._values.popitem(last=False)
            self._size_bytes -= freed_bytes
