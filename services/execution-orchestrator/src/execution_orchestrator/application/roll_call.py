"""Which confirmed claims a worker does not name any more.

The lease of a worker process covers all of its confirmed claims, so a claim that the worker has forgotten would
be held until its start_to_close. A worker forgets a claim when it stops a handler because it could not renew in
time, and then reaches an orchestrator again.
"""

from collections.abc import Iterable

from execution_orchestrator.application.ports_leases import ConfirmedClaim


class RollCall:
    """Compares, once in a lease TTL, what a worker names in its heartbeats with what it holds.

    A claim is forgotten if the worker did not name it in two such spans, one after the other. So a worker may name
    its claims in several messages, and a result may be on its way for a lease TTL.
    """

    def __init__(self, span_seconds: float, now: float) -> None:
        self._span = span_seconds
        self._next = now + span_seconds
        self._named: set[ConfirmedClaim] = set()
        self._missing: set[ConfirmedClaim] = set()

    def is_due(self, now: float) -> bool:
        """Return whether a span has ended; then call `close`."""
        return now >= self._next

    def name(self, claims: Iterable[ConfirmedClaim]) -> None:
        """Note what the worker names."""
        self._named.update(claims)

    def close(self, held: Iterable[ConfirmedClaim], now: float) -> list[ConfirmedClaim]:
        """End the span with all claims that the worker holds; return those that it has forgotten."""
        unnamed = set(held) - self._named
        forgotten = unnamed & self._missing
        self._missing = unnamed - forgotten
        self._named.clear()
        self._next = now + self._span
        return sorted(forgotten)
