"""From the queue to the workers: pop as many hints as there are credits, claim their tasks, send the leases.

A hint alone permits nothing. The dispatcher pops it and claims its task in Postgres, which checks status,
pause and fence. Only the claim counts: a stale hint claims nothing and is gone.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from service_kit.errors import ServiceError
from service_kit.process.duties import Rounds
from workflow_contract.names import DEFAULT_QUEUE

from execution_orchestrator.application.engine.claim_token import new_claim_token
from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import CommandWork, WorkResult
from execution_orchestrator.application.ports.hints import Hint, HintsUnavailableError, Kind
from execution_orchestrator.application.ports.queue import Queue
from execution_orchestrator.application.ports.store import RetryTransactionError, Store, StoreUnavailableError
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerSession
from execution_orchestrator.application.workers.session_groups import SessionGroup
from execution_orchestrator.application.workers.store_feed import USUAL_PACE as USUAL_FEED_PACE
from execution_orchestrator.application.workers.store_feed import FeedPace, StoreFeed
from execution_orchestrator.domain.commands import ClaimTask
from execution_orchestrator.domain.task import TaskKey

log = structlog.get_logger(__name__)

MAX_POP = 256
MAX_LOOKS = 16
"""Looks into queues at the same time, so that they do not use all connections to Redis."""
POLL_SECONDS = 0.5
"""How often the dispatcher looks although nothing was reported to it, busy or not."""
PROBE_SECONDS = 0.5
"""How often the dispatcher asks whether Redis answers again."""


@dataclass(frozen=True, slots=True)
class DispatcherPace:
    """How often the dispatcher looks, and how it reads from Postgres while Redis does not answer."""

    poll_seconds: float = POLL_SECONDS
    probe_seconds: float = PROBE_SECONDS
    feed: FeedPace = USUAL_FEED_PACE


USUAL_PACE = DispatcherPace()


class Dispatcher:
    """The loop that feeds the sessions of the roster."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        pipeline: Pipeline,
        roster: Roster,
        lease_ttl: timedelta,
        pace: DispatcherPace = USUAL_PACE,
    ) -> None:
        self._pace = pace
        self._queue = queue
        self._store = store
        self._pipeline = pipeline
        self._roster = roster
        self._groups = roster.groups
        self._drained = roster.drained
        self._lease_ttl = lease_ttl
        self.rounds = Rounds()
        self._looks = asyncio.Semaphore(MAX_LOOKS)
        self._poll_time = 0.0  # of the loop's clock: when to look even if nothing was pushed
        self._outage: StoreFeed | None = None  # set while Redis does not answer
        self._probing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Feed the sessions until cancelled."""
        try:
            while True:
                await self._something_to_do()
                self.rounds.done()
                if self._outage is None:
                    await self._feed()
                else:
                    await self._feed_from_store(self._outage)
        finally:
            if self._probing is not None:
                self._probing.cancel()

    async def _something_to_do(self) -> None:
        """Wait for a push, a credit, or the time for a look."""
        time = asyncio.get_running_loop().time
        await self._roster.something_to_do(self._poll_time if self._outage is None else self._outage.due_time)
        if self._outage is None and time() >= self._poll_time:
            self._poll_time = time() + self._pace.poll_seconds
            self._drained.waits(None)  # another replica may have pushed, and its ring was missed

    async def _feed(self) -> None:
        """Look into the queues for all groups with room, at the same time."""
        looks = [self._feed_group(group) for group in self._roster.rooms()]
        for error in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(error, HintsUnavailableError):
                self._queue_is_lost(error)
            elif error is not None:
                raise error

    def _queue_is_lost(self, error: HintsUnavailableError) -> None:
        if self._outage is None:
            log.warning("queue_unavailable", error=str(error), next_step="workers are fed from Postgres")
            self._outage = StoreFeed(self._store, random.randrange, self._pace.feed)
            self._probing = asyncio.create_task(self._probe())

    async def _feed_group(self, group: SessionGroup) -> None:
        """Look into the queues of the group, one after another, because they share its credits."""
        for queue in list(group.queues):
            kinds = self._drained.undrained(group.kinds[queue])
            limit = min(group.credits, MAX_POP)
            if kinds and limit > 0:
                await self._feed_from(queue, group, kinds, limit)

    async def _feed_from(self, queue: str, group: SessionGroup, kinds: frozenset[Kind], limit: int) -> None:
        async with self._looks:
            moment = self._drained.moment
            taken = await self._queue.pop(queue, limit, {kind[:2] for kind in kinds})
        if taken:
            group.served(queue)
        left = [each for each in taken if not self._claim(each.hint, group)]
        if left:  # others took the room while these hints were on their way
            await self._queue.put_back(left)
        elif len(taken) == limit:
            self._roster.look_again()
        else:
            self._drained.add(kinds, moment)

    async def _feed_from_store(self, feed: StoreFeed) -> None:
        """Do what `_feed` does, while Redis does not answer."""
        try:
            await feed.read(self._groups.kinds, self._drained)
        except (StoreUnavailableError, RetryTransactionError) as error:
            log.info("store_feed_paused", error=str(error))
        for group in self._groups:
            for kinds in group.kinds.values():
                if group.idlest() is not None:
                    for hint in feed.take(kinds, group.credits):
                        self._claim(hint, group)

    async def _probe(self) -> None:
        """Wait until Redis answers, then let the queue feed the sessions again."""
        while self._outage is not None:
            await asyncio.sleep(self._pace.probe_seconds)
            with suppress(HintsUnavailableError):
                await self._queue.length(DEFAULT_QUEUE)
                log.info("queue_available")
                self._outage = None
        self._roster.pushed()

    def _claim(self, hint: Hint, group: SessionGroup) -> bool:
        """Begin to claim the task, if possible for the group. Returns False if no session has room for it."""
        session = group.idlest() or self._groups.idlest((hint.namespace, hint.task_type, hint.queue))
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
