"""The kinds of tasks of which nothing waits in the queue, as far as this replica knows.

A new task may skip the queue only if no other task of its kind waits. Otherwise it would overtake tasks that
have waited longer.
"""

from collections.abc import Collection

from execution_orchestrator.application.ports.hints import Kind


class DrainedKinds:
    """A kind is drained from the look that emptied its queue until something of it may have been pushed."""

    def __init__(self) -> None:
        self._drained: set[Kind] = set()
        self._moment = 0
        self._pushed: dict[Kind, int] = {}  # the moment of the last push of each kind
        self._all_pushed = 0  # the moment when anything may have been pushed

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._drained

    def __len__(self) -> int:
        return len(self._drained)

    @property
    def moment(self) -> int:
        """A number that grows with each push. Read it before a look, and pass it to `add` after it."""
        return self._moment

    def waits(self, kinds: Collection[Kind] | None) -> None:
        """Note that tasks of these kinds may wait from now on; None means all kinds."""
        self._moment += 1
        if kinds is None:
            self._drained.clear()
            self._pushed.clear()
            self._all_pushed = self._moment
        else:
            self._drained.difference_update(kinds)
            self._pushed.update(dict.fromkeys(kinds, self._moment))

    def add(self, kinds: Collection[Kind], since: int) -> None:
        """Note that a look which began at the moment `since` found nothing more of these kinds.

        A kind that was pushed during the look is left out, because the look may have missed the push.
        """
        if self._all_pushed <= since:
            self._drained.update(kind for kind in kinds if self._pushed.get(kind, 0) <= since)

    def undrained(self, kinds: frozenset[Kind]) -> frozenset[Kind]:
        """Return the kinds of which something may wait."""
        return kinds - self._drained
