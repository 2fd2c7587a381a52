"""The events that feeds keep in memory, and the one limit of bytes for all of them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from workflow_gateway.watch.messages import EventMessage

MAX_KEPT_EVENTS = 1_024
"""The number of events of one feed."""

MAX_KEPT_BYTES = 1024 * 1024
"""The bytes of one feed."""

MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""The bytes of all feeds. If there are more, the feed whose last event is the oldest drops its events."""

BATCH_EVENTS = 64
BATCH_BYTES = 256 * 1024
"""If a watcher does not read, it holds one batch: up to these limits, or one event."""


@dataclass(frozen=True, slots=True)
class KeptLimits:
    """How much one feed keeps, and how much of it a watcher gets at a time."""

    events: int = MAX_KEPT_EVENTS
    bytes: int = MAX_KEPT_BYTES
    batch_bytes: int = BATCH_BYTES


USUAL_LIMITS = KeptLimits()


class Budget:
    """The bytes that all feeds keep together, at most `max_bytes`. `of_each` limits each feed."""

    def __init__(self, max_bytes: int = MAX_TOTAL_BYTES, of_each: KeptLimits = USUAL_LIMITS) -> None:
        self.of_each = of_each
        self.kept_bytes = 0
        self._max_bytes = max_bytes
        self._by_age: OrderedDict[KeptEvents, None] = OrderedDict()

    def grew(self, kept: KeptEvents, size: int) -> None:
        """Add `size` bytes of `kept`.

        If the total is too large, the longest quiet feeds drop their events.
        """
        self.kept_bytes += size
        self._by_age[kept] = None
        self._by_age.move_to_end(kept)
        while self.kept_bytes > self._max_bytes:
            next(iter(self._by_age)).forget()

    def shrank(self, kept: KeptEvents, size: int) -> None:
        """Subtract `size` bytes of `kept`."""
        self.kept_bytes -= size
        if not kept:
            self._by_age.pop(kept, None)


class KeptEvents:
    """The latest events of one execution, without a gap.

    An event leaves when all watchers have received it.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._events: deque[EventMessage] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> int | None:
        """The sequence number of the oldest event; None if there is no event."""
        return self._events[0].sequence if self._events else None

    def append(self, event: EventMessage) -> None:
        """Keep an event, which must follow the last one."""
        self._events.append(event)
        self._bytes += len(event.message)
        self._budget.grew(self, len(event.message))
        limits = self._budget.of_each
        while len(self._events) > limits.events or self._bytes > limits.bytes:
            self._drop_oldest()

    def batch_after(self, sequence: int) -> Sequence[EventMessage]:
        """Return the first events after `sequence`. The feed must still keep all of them."""
        begin = sequence + 1 - self._events[0].sequence
        batch, size = [], 0
        for event in islice(self._events, begin, begin + BATCH_EVENTS):
            batch.append(event)
            size += len(event.message)
            if size >= self._budget.of_each.batch_bytes:
                break
        return batch

    def drop_to(self, sequence: int) -> None:
        """Drop the events up to this one."""
        while self._events and self._events[0].sequence <= sequence:
            self._drop_oldest()

    def forget(self) -> None:
        """Drop every event."""
        while self._events:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        size = len(self._events.popleft().message)
        self._bytes -= size
        self._budget.shrank(self, size)
