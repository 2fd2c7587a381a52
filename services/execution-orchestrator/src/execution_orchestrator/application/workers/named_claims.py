"""Finds confirmed claims that a worker does not name any more.

The lease of a worker process covers all of its confirmed claims. So a claim that the worker has forgotten
would be held until its start_to_close. A worker forgets a claim if it could not renew in time, stopped the
handler for that, and then reached an orchestrator again.
"""

from collections.abc import Iterable

from execution_orchestrator.application.ports.lease_store import ConfirmedClaim


class NamedClaims:
    """The claims that a worker names in its heartbeats. Once in a lease TTL compare them with what it holds.

    A claim is forgotten if the worker did not name it in two spans of a lease TTL, one after the other. So a
    worker may name its claims in several messages, and a result may be on its way for a lease TTL.
    """

    def __init__(self, span_seconds: float, now: float) -> None:
        self._span = span_seconds
        self._next = now + span_seconds
        self._named: set[ConfirmedClaim] = set()
        self._missing: set[ConfirmedClaim] = set()

    def add(self, claims: Iterable[ConfirmedClaim]) -> None:
        """Note what the worker names."""
        self._named.update(claims)

    def end_span(self, now: float) -> bool:
        """Return True once for each span that is over. `now` is in monotonic seconds."""
        if now < self._next:
            return False
        self._next = now + self._span
        return True

    def forgotten(self, held: Iterable[ConfirmedClaim]) -> list[ConfirmedClaim]:
        """Return the claims that the worker has forgotten; `held` are all confirmed claims of its process."""
        unnamed = set(held) - self._named
        forgotten = unnamed & self._missing
        self._missing = unnamed - forgotten
        self._named.clear()
        return sorted(forgotten)
