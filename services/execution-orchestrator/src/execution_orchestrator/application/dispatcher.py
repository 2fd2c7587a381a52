"""From the queue to the workers: as many hints as there are credits, claimed in Postgres, pushed down the
streams.

A hint is worth nothing by itself. It is popped, its task is claimed in Postgres (status, pause, fence), and
only the claim counts; a stale hint claims nothing and is gone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

import structlog
from service_kit.errors import ServiceError

from execution_orchestrator.application.claim_token import new_claim_token
from execution_orchestrator.application.database_clock import DatabaseClock
from execution_orchestrator.application.outbox import Claim, Stop, StopReason
from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.ports import RetryTransactionError, Store, StoreUnavailableError
from execution_orchestrator.application.ports_queue import HintsUnavailableError, Queue
from execution_orchestrator.application.sessions import WorkerSession
from execution_orchestrator.application.work import Claimant, CommandWork, WorkResult
from execution_orchestrator.domain.commands import ClaimTask, HandedBack, ReportTask
from execution_orchestrator.domain.hints import Hint
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

Kind = tuple[str, str, str]
"""Namespace, task type and queue: what decides who may run a task."""

Group = tuple[str, str, frozenset[str]]
"""Queue, namespace and task types: sessions that are served with one look into a queue."""

MAX_POP = 256
LEASE_RUNS_OUT = "the lease runs out by itself"
POLL_SECONDS = 0.5
"""How often an idle dispatcher with credits looks without having been told to."""


class Dispatcher:
    """The sessions of this replica, and the loop that feeds them."""

    def __init__(
        self, queue: Queue, store: Store, pipeline: Pipeline, clock: DatabaseClock, lease_ttl: timedelta
    ) -> None:
        self._queue = queue
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._lease_ttl = lease_ttl
        self.on_join: Callable[[WorkerSession], None] = lambda _: None
        self.on_round: Callable[[], None] = lambda: None
        self._sessions: list[WorkerSession] = []
        self._wake = asyncio.Event()
        self._pushes = 0
        self._drained: set[Kind] = set()  # of these nothing waits, as far as is known since the last push
        self._tasks: set[asyncio.Task[None]] = set()

    # -- sessions -------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[WorkerSession]:
        """The sessions that are open."""
        return self._sessions

    def add(self, session: WorkerSession) -> None:
        """A worker has come."""
        session.on_credit = self._wake.set
        self._sessions.append(session)
        self.on_join(session)

    def remove(self, session: WorkerSession) -> None:
        """A worker has gone; its leases go on until they are reported elsewhere or run out."""
        session.close()
        if session in self._sessions:
            self._sessions.remove(session)

    def hand_back(self, claim: Claim) -> None:
        """Make a claim READY again that no worker saw. No budget is charged."""
        report = ReportTask(claim.key, claim.epoch, HandedBack(), claim.token)
        try:
            future = self._pipeline.submit(CommandWork(claim.execution_id, report))
        except ServiceError as error:  # overloaded, or stopping
            log.info("hand_back_failed", error=error.message, next_step=LEASE_RUNS_OUT)
        else:
            future.add_done_callback(_note_failure)

    # -- room for what became ready -------------------------------------------------------------

    def take(self, namespace: str, task_type: str, queue: str, reporter: Claimant | None) -> Claimant | None:
        """See the port `Offers`."""
        if isinstance(reporter, WorkerSession) and reporter.accepts(namespace, task_type, queue):
            reporter.reserve()
            return reporter
        if reporter is None and (namespace, task_type, queue) not in self._drained:
            return None  # others wait, or may: no jumping the queue
        session = self._idlest(namespace, task_type, queue)
        if session is not None:
            session.reserve()
        return session

    def _idlest(self, namespace: str, task_type: str, queue: str) -> WorkerSession | None:
        able = [each for each in self._sessions if each.accepts(namespace, task_type, queue)]
        return max(able, key=lambda session: session.credits / session.worker.slots, default=None)

    # -- the loop -------------------------------------------------------------------------------

    def pushed(self) -> None:
        """There may be hints in the queue."""
        self._pushes += 1
        self._drained.clear()
        self._wake.set()

    async def run(self) -> None:
        """Feed the sessions until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self.pushed()  # another replica may have pushed unheard
            self._wake.clear()
            self.on_round()
            try:
                for group, sessions in self._with_room().items():
                    await self._feed(group, sessions)
            except HintsUnavailableError:
                await asyncio.sleep(POLL_SECONDS)

    def _with_room(self) -> dict[Group, list[WorkerSession]]:
        found: dict[Group, list[WorkerSession]] = defaultdict(list)
        for session in self._sessions:
            if session.credits > 0 and not session.closed:
                worker = session.worker
                for queue in worker.queues:
                    found[queue, worker.namespace, worker.task_types].append(session)
        return found

    async def _feed(self, group: Group, sessions: list[WorkerSession]) -> None:
        queue, namespace, task_types = group
        pushes = self._pushes
        kinds = {(namespace, task_type, queue) for task_type in task_types} - self._drained
        limit = min(sum(session.credits for session in sessions), MAX_POP)
        if limit <= 0 or not kinds:
            return
        hints = await self._queue.pop(queue, limit, {kind[:2] for kind in kinds})
        left = [hint for hint in hints if not self._claim(hint)]
        if left:  # the room was taken while they were on their way
            await self._queue.push(left)
        elif len(hints) == limit:
            self._wake.set()
        elif pushes == self._pushes:
            self._drained |= kinds

    def _claim(self, hint: Hint) -> bool:
        """Begin to claim the task for somebody; False where nobody has room for it."""
        session = self._idlest(hint.namespace, hint.task_type, hint.queue)
        if session is None:
            return False
        session.reserve()
        token = new_claim_token()
        command = ClaimTask(_key(hint), session.worker_id, session.boot_id, self._lease_ttl, token)
        try:
            future = self._pipeline.submit(CommandWork(hint.execution_id, command, hint.namespace))
        except ServiceError as error:  # overloaded, or stopping: the sweep brings the hint back
            log.warning("claim_refused", error=error.message)
            session.give_back()
        else:
            future.add_done_callback(lambda done: _deliver(session, done))
        return True

    # -- stopping handlers ----------------------------------------------------------------------

    def check_stops(self, execution_ids: Iterable[UUID]) -> None:
        """Attempts of these executions may have to stop: ask Postgres which, and tell their workers."""
        ids = list(execution_ids)
        for session in self._sessions:
            if claims := set(session.held_of(ids)):
                task = asyncio.create_task(self._tell(session, claims))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _tell(self, session: WorkerSession, claims: set[Claim]) -> None:
        try:
            held = {Claim(*row[:4]): row.cancel_deadline for row in await self._store.stopped(list(claims))}
        except (StoreUnavailableError, RetryTransactionError):
            return  # the next heartbeat tells them
        now = self._clock.now()
        # What was acknowledged meanwhile is not the session's any more, and needs no word.
        theirs = session.held_of({claim.execution_id for claim in claims})
        asked = [claim for claim in theirs if claim in claims]
        stops = [Stop(claim, StopReason.REVOKED) for claim in asked if claim not in held]
        stops += [
            Stop(claim, StopReason.CANCEL_REQUESTED, max(deadline - now, timedelta()))
            for claim in asked
            if (deadline := held.get(claim)) is not None
        ]
        session.stop(stops)


def _key(hint: Hint) -> TaskKey:
    return TaskKey(hint.task_id, hint.item)


def _deliver(session: WorkerSession, done: "asyncio.Future[WorkResult]") -> None:
    if done.cancelled() or done.exception() is not None:
        session.give_back()
        return
    lease = done.result().lease
    if lease is None:
        session.give_back()
    else:
        session.deliver(lease)


def _note_failure(done: "asyncio.Future[WorkResult]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.info("hand_back_failed", error=str(error), next_step=LEASE_RUNS_OUT)
