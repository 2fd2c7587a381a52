"""What is kept in memory to be faster, and may be forgotten at any moment."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Up to a number of entries and of bytes in all; what was not used for longest leaves first."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Whether it is there; asking so is no use of it."""
        return key in self._entries

    def get(self, key: K, default: V | None = None) -> V | None:
        """The value, which is used by that; else the default."""
        found = self._entries.get(key)
        if found is None:
            return default
        self._entries.move_to_end(key)
        return found[0]

    def peek(self, key: K) -> V | None:
        """The value, without using it."""
        found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep a value that takes about so much, in place of an older one. One that is over the limit by
        itself is not kept, and puts nothing else out.
        """
        self._forget(key)
        if size_bytes > self.max_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while len(self._entries) > self.max_entries or self.size_bytes > self.max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: K) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self.size_bytes -= found[1]
