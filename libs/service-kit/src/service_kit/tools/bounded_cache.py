"""A cache in memory with limits; it may forget an entry at any moment."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A cache of at most `max_entries` and `max_bytes` in all.

    It evicts the least recently used entry first.
    """

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Return whether the key is cached. This does not count as a use."""
        return key in self._entries

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value and mark it as used; without a value, return the default."""
        found = self._entries.get(key)
        if found is None:
            return default
        self._entries.move_to_end(key)
        return found[0]

    def peek(self, key: K) -> V | None:
        """Return the value without marking it as used, or None."""
        found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Store a value of about `size_bytes`; it replaces an older one of the same key.

        A value over `max_bytes` is not stored, and evicts no other value.
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
