"""Orders to stop handlers. Postgres decides who gets one: it knows which claims still hold."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from execution_orchestrator.application.engine.committed import Committed
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.ports.store import RetryTransactionError, Store, StoreUnavailableError
from execution_orchestrator.application.workers.outbox import Cancel, CancelReason
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerSession
from execution_orchestrator.domain.task import Claim


class Cancels:
    """Sends the workers of this replica the orders to stop handlers."""

    def __init__(self, store: Store, roster: Roster, clock: DatabaseClock) -> None:
        self._store = store
        self._roster = roster
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def committed(self, committed: Committed) -> None:
        """Check the executions of a batch whose attempts may have to stop. A listener of commits."""
        if committed.must_check:
            self.check(committed.must_check)

    def check(self, execution_ids: Collection[UUID]) -> None:
        """Ask Postgres which attempts of these executions must stop, and order that. Return at once."""
        for session in self._roster.sessions:
            if claims := set(session.held_of(execution_ids)):
                task = asyncio.create_task(self._send(session, claims))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send(self, session: WorkerSession, claims: set[Claim]) -> None:
        try:
            held = dict(await self._store.held_claims(list(claims)))
        except (StoreUnavailableError, RetryTransactionError):
            return  # the answer to the next heartbeat says the same
        now = self._clock.now()
        # A claim whose result was acknowledged meanwhile is not held any more, and needs no order.
        theirs = session.held_of({claim.execution_id for claim in claims})
        asked = [claim for claim in theirs if claim in claims]
        cancels = [Cancel(claim, CancelReason.REVOKED) for claim in asked if claim not in held]
        cancels += [
            Cancel(claim, CancelReason.CANCEL_REQUESTED, max(deadline - now, timedelta()))
            for claim in asked
            if (deadline := held.get(claim)) is not None
        ]
        session.cancel(cancels)
