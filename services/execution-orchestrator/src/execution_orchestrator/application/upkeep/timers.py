"""The timers. Each replica wakes its share of the rows that are due, always.

No leader is needed. The domain decides again whether the time has come, under the execution's lock and by the
primary's clock. So a wake that comes twice changes nothing, and the shares only save work.

If a wake fails, the replica tries it again after a pause that grows. If a wake takes long, the replica does
not wait for it. Neither delays other timers.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from service_kit.errors import ServiceError
from service_kit.process.duties import Rounds

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.store import RetryTransactionError, StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import (
    EARLIEST,
    OUTAGE_AFTER,
    DuePage,
    DueRow,
    Presence,
    UpkeepStore,
)
from execution_orchestrator.application.upkeep.due_walk import (
    FIRST_PAUSE_SECONDS,
    FULL_WALK_SECONDS,
    DueWalk,
    Key,
    Pauses,
    key_of,
)
from execution_orchestrator.application.upkeep.reachability import Reachability
from execution_orchestrator.application.upkeep.replicas import Replicas
from execution_orchestrator.domain.commands import WakeExecution, WakeTask
from execution_orchestrator.domain.decision import Effect

log = structlog.get_logger(__name__)

TIMER_SECONDS = 0.2
TIMER_PAGE = 500
GIVE_BACK_PAGE = 2_000
"""Jobs whose deadline one statement moves after an outage."""

MAX_UNDER_WAY = 2_000
"""Wakes that the pipeline has not answered yet. At this number the replica looks for no more due rows."""

PATIENCE_SECONDS = 1.0
"""The longest time that a tick waits for its wakes. Then it continues without them."""


@dataclass(frozen=True, slots=True)
class TimerPace:
    """How often the timers look, how much they take at a time, and for how long they wait."""

    period_seconds: float = TIMER_SECONDS
    page: int = TIMER_PAGE
    give_back_page: int = GIVE_BACK_PAGE
    patience_seconds: float = PATIENCE_SECONDS
    full_walk_seconds: float = FULL_WALK_SECONDS
    first_pause_seconds: float = FIRST_PAUSE_SECONDS


USUAL_PACE = TimerPace()


class Timers:
    """The duty that wakes what is due: leases of unconfirmed claims, timeouts, back-offs, deadlines."""

    def __init__(
        self,
        store: UpkeepStore,
        pipeline: Pipeline,
        replicas: Replicas,
        reachability: Reachability,
        lease_ttl: timedelta,
        pace: TimerPace = USUAL_PACE,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._replicas = replicas
        self._reachability = reachability
        self._lease_ttl = lease_ttl
        self.rounds = Rounds()
        self._pace = pace
        self._tasks = DueWalk(full_walk_seconds=pace.full_walk_seconds)
        self._executions = DueWalk(full_walk_seconds=pace.full_walk_seconds)
        self._pauses = Pauses(pace.first_pause_seconds)
        self._under_way: dict[Key, asyncio.Task[None]] = {}
        self._errors: set[str] = set()
        self._is_in_trouble = False
        self._outage_end = EARLIEST
        self._claims_may_end = False

    async def run(self) -> None:
        """Tick until cancelled."""
        try:
            while True:
                try:
                    busy = await self.tick()
                    self.rounds.done()
                except (StoreUnavailableError, RetryTransactionError) as error:
                    log.info("timers_paused", error=str(error))
                    busy = False
                if not busy:
                    await asyncio.sleep(self._pace.period_seconds)
        finally:
            for wake in self._under_way.values():
                wake.cancel()

    async def tick(self) -> bool:
        """Wake one page of due rows. Return whether to tick again at once.

        Raise StoreUnavailableError and RetryTransactionError. May be repeated.
        """
        if len(self._under_way) >= MAX_UNDER_WAY:
            await self._settle(list(self._under_way.values()))
            return False
        presence = await self._replicas.presence()
        self._heed_outage(presence)
        at = _now()
        wakes = [self._begin(row) for row in self._pauses.over(at, self._pace.page)]
        tasks, executions = await self._look(presence, at)
        for page in (tasks, executions):
            wakes += [self._begin(row) for row in page.rows if self._is_to_wake(row, at)]
        await self._settle([wake for wake in wakes if wake is not None])
        more = self._tasks.saw(tasks, self._pace.page) | self._executions.saw(executions, self._pace.page)
        is_in_trouble, self._is_in_trouble = self._is_in_trouble, False
        return more and not is_in_trouble

    def _heed_outage(self, presence: Presence) -> None:
        """Forget rows that were found before an outage: their jobs may have got time back since."""
        if presence.outage_end != self._outage_end:
            self._outage_end = presence.outage_end
            self._pauses.clear()
            self._tasks.restart()
            self._executions.restart()

    async def _look(self, presence: Presence, at: float) -> tuple[DuePage, DuePage]:
        """Return a page of task runs and one of executions. Move the deadlines of jobs that waited in an
        outage.
        """
        claims_may_end = self._may_claims_end(presence)
        place = self._tasks.begin(at, from_mark=claims_may_end)
        tasks = await self._store.due_tasks(place, self._pace.page, presence, claims_may_end=claims_may_end)
        if tasks.now - presence.now > OUTAGE_AFTER:
            raise RetryTransactionError("the look took so long that an outage may have gone unnoticed")
        if any(row.waited_through_outage for row in tasks.rows):
            moved = await self._store.give_time_back(presence.outage_end, self._pace.give_back_page)
            log.info("deadlines_moved", jobs=moved)
        place = self._executions.begin(at, from_mark=True)
        return tasks, await self._store.due_executions(place, self._pace.page, presence)

    def _may_claims_end(self, presence: Presence) -> bool:
        """Return whether workers could renew: this replica and the engine were there for one lease TTL.

        When that becomes true, the walk begins again, because until then it left out task runs that workers
        have.
        """
        served = presence.now > presence.available_since + self._lease_ttl
        claims_may_end = served and self._reachability.steady
        if claims_may_end != self._claims_may_end:
            self._claims_may_end = claims_may_end
            self._tasks.restart()
        return claims_may_end

    def _is_to_wake(self, row: DueRow, at: float) -> bool:
        return not (
            row.waited_through_outage or key_of(row) in self._under_way or self._pauses.covers(row, at)
        )

    def _begin(self, row: DueRow) -> asyncio.Task[None] | None:
        key = key_of(row)
        if key in self._under_way:
            return None
        wake = self._under_way[key] = asyncio.create_task(self._wake(row))
        wake.add_done_callback(lambda _: self._under_way.pop(key, None))
        return wake

    async def _wake(self, row: DueRow) -> None:
        """Send the command. If the whole service fails, that is not a failure of this row."""
        command = WakeExecution() if row.task is None else WakeTask(row.task)
        try:
            result = await self._pipeline.submit(CommandWork(row.place.execution_id, command))
        except (StoreUnavailableError, ServiceError) as error:
            self._errors.add(repr(error))
            self._pauses.note(row, _now(), again=True, grows=False)
            self._is_in_trouble = True
        except Exception as error:
            self._errors.add(repr(error))
            self._pauses.note(row, _now(), again=True)
        else:
            if result.effect is Effect.APPLIED:
                self._pauses.forget(row)
            else:
                self._pauses.note(row, _now(), again=False)

    async def _settle(self, wakes: list[asyncio.Task[None]]) -> None:
        """Wait for the wakes, but not for long. Then log what failed."""
        if wakes:
            await asyncio.wait(wakes, timeout=self._pace.patience_seconds)
        for error in self._errors:
            log.warning("wake_failed", error=error)
        self._errors.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
