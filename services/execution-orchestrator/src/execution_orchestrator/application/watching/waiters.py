"""Who waits for an execution to change: long polls for its end, and streams of its events.

A ring of the doorbell wakes them. What they are told comes from Postgres, or straight from the commit that
this replica has just made. A ring may be lost. So every execution that somebody waits for is looked up again
about once a second: a part of them every 100 ms, and never more than MAX_LOOK with one statement.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from uuid import UUID

import structlog
from service_kit.errors import DRAINING, ServiceError, unavailable
from service_kit.tools.batching import Batcher
from workflow_contract.doorbell import Ring

from execution_orchestrator.application.engine.committed import Committed
from execution_orchestrator.application.engine.work import ExecutionNotFoundError, RunNotStartedError
from execution_orchestrator.application.ports.reads import EventPage, Reads
from execution_orchestrator.domain.events import FINAL_EVENT_TYPES, Event
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import FINAL_EXECUTION_STATUSES

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How long after its last look an execution is looked up again."""

LOOKS_PER_SECOND = 10
MAX_LOOK = 1_000
"""Executions that are looked up with one statement. If more than 10,000 are waited for, each is looked up
less often than once a second.
"""

MAX_EVENTS = 500
"""Events in one message of a stream."""

MAX_READ_KEYS = 128
"""Executions, or pages of events, that are read with one statement. Its rows have a limit in bytes too."""

Key = tuple[str, UUID]


class _NotReadYet:
    """The answer for an execution that did not fit beside the others."""


class Waiter:
    """One who waits. It is woken when its execution has more events than it knows of.

    Who waits for the end only is left asleep by everything else: a read of the database less for each step.
    """

    def __init__(self, known: int, *, for_the_end: bool) -> None:
        self.known = known
        self.final: Execution | None = None  # told by the commit itself
        self._for_the_end = for_the_end
        self._told = 0
        self._must_look = False
        self._woken = asyncio.Event()

    def notify(self, ring: Ring, execution: Execution | None) -> None:
        """The execution has changed."""
        if self._for_the_end and ring.status not in FINAL_EXECUTION_STATUSES:
            return
        if execution is not None and execution.final:
            self.final = execution
        if ring.last_sequence > self.known:
            self._told = max(self._told, ring.last_sequence)
            self._woken.set()

    def wake(self) -> None:
        """Look again, whatever is known."""
        self._must_look = True
        self._woken.set()

    async def wait(self) -> None:
        """Until it is told of more than it knows."""
        while self._told <= self.known and not self._must_look:
            self._woken.clear()
            await self._woken.wait()
        self._must_look = False


class Waiters:
    """Everybody who waits on this replica."""

    def __init__(self, reads: Reads, *, look_seconds: float = LOOK_SECONDS, max_look: int = MAX_LOOK) -> None:
        self._reads = reads
        self._look_seconds = look_seconds
        self._max_look = max_look
        self._waiting: dict[UUID, set[Waiter]] = defaultdict(set)
        self._looked_at: dict[UUID, float] = {}  # of those that are waited for; the longest ago first
        self._executions = Batcher[Key, Execution | _NotReadYet | None](
            self._read_executions, max_batch=MAX_READ_KEYS
        )
        self._events = Batcher[tuple[str, UUID, int], EventPage](self._read_events, max_batch=MAX_READ_KEYS)
        self._draining = False
        self.on_round: Callable[[], None] = lambda: None

    # -- being woken ----------------------------------------------------------------------------

    def committed(self, committed: Committed) -> None:
        """Wake the waiters of what this replica has committed, without Redis. A listener of commits."""
        self.ring(committed.rings, {id_: each.execution for id_, each in committed.changes.items()})

    def ring(self, rings: Sequence[Ring], committed: Mapping[UUID, Execution] | None = None) -> None:
        """These have changed; of those that this replica has just committed it is known how."""
        if not self._waiting:
            return
        for ring in rings:
            for waiter in self._waiting.get(ring.execution_id, ()):
                waiter.notify(ring, committed.get(ring.execution_id) if committed else None)

    def ring_all(self) -> None:
        """Rings may have been missed: look again at everything that is waited for."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.wake()

    async def run(self) -> None:
        """Until cancelled: find what no ring has told."""
        while True:
            await asyncio.sleep(self._look_seconds / LOOKS_PER_SECOND)
            self.on_round()
            part = self._next_to_look_at()
            if not part:
                continue
            try:
                self.ring(await self._reads.look(part))
            except ServiceError as error:
                log.info("waiters_look_failed", error=error.message)

    def _next_to_look_at(self) -> list[UUID]:
        """The executions whose last look is longest ago, but at least a second. They go to the end."""
        now = asyncio.get_running_loop().time()
        part: list[UUID] = []
        for id_, looked_at in self._looked_at.items():
            if len(part) == self._max_look or now - looked_at < self._look_seconds:
                break
            part.append(id_)
        for id_ in part:
            del self._looked_at[id_]
            self._looked_at[id_] = now
        return part

    async def drain(self) -> None:
        """End every wait: its caller goes to another replica."""
        self._draining = True
        self.ring_all()

    # -- waiting --------------------------------------------------------------------------------

    async def until_final(
        self, namespace: str, execution_id: UUID, timeout: float, run_number: int = 0
    ) -> Execution:
        """The execution when a run of it has ended, or as it is after `timeout` seconds. May be repeated.

        The run 0 is the one that the execution is in now. Raises ExecutionNotFoundError, RunNotStartedError,
        and ServiceError UNAVAILABLE (DRAINING).
        """
        waiter = self._enter(execution_id, Waiter(0, for_the_end=True))
        try:
            async with asyncio.timeout(timeout):
                while True:
                    # The first pass always reads, and that refuses an execution of another namespace.
                    execution = waiter.final or await self._execution(namespace, execution_id)
                    run_number = run_number or execution.run_number
                    if execution.run_number < run_number:
                        raise RunNotStartedError(execution_id, execution.run_number, run_number)
                    if execution.final or execution.run_number > run_number:
                        return execution
                    self._refuse_draining()
                    waiter.known = execution.last_sequence
                    await waiter.wait()
        except TimeoutError:
            return await self._execution(namespace, execution_id)
        finally:
            self._leave(execution_id, waiter)

    async def events(
        self, namespace: str, execution_id: UUID, after: int
    ) -> AsyncGenerator[list[Event], None]:
        """Pages of events after a sequence number, as they are committed; ends after the final event.

        Raises ExecutionNotFoundError, and ServiceError UNAVAILABLE (DRAINING).
        """
        waiter = self._enter(execution_id, Waiter(after, for_the_end=False))
        try:
            while True:
                page = await self._events.submit((namespace, execution_id, waiter.known))
                if page.events:
                    waiter.known = page.events[-1].sequence
                    yield page.events
                    if page.events[-1].type in FINAL_EVENT_TYPES:
                        return
                    is_behind = page.more
                else:
                    execution = await self._execution(namespace, execution_id)
                    is_behind = execution.last_sequence > waiter.known  # it went on between the two reads
                    if execution.final and not is_behind:
                        return  # the caller had every event already
                self._refuse_draining()
                if not is_behind:
                    await waiter.wait()
        finally:
            self._leave(execution_id, waiter)

    def _refuse_draining(self) -> None:
        if self._draining:
            message = "this replica is shutting down: ask again, from where you are, another one answers"
            raise unavailable(DRAINING, message)

    def _enter(self, execution_id: UUID, waiter: Waiter) -> Waiter:
        self._waiting[execution_id].add(waiter)
        self._looked_at.setdefault(execution_id, asyncio.get_running_loop().time())
        return waiter

    def _leave(self, execution_id: UUID, waiter: Waiter) -> None:
        waiters = self._waiting.get(execution_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[execution_id]
                del self._looked_at[execution_id]

    async def _execution(self, namespace: str, execution_id: UUID) -> Execution:
        while True:
            execution = await self._executions.submit((namespace, execution_id))
            if execution is None:
                raise ExecutionNotFoundError(str(execution_id))
            if isinstance(execution, Execution):
                return execution

    async def _read_executions(self, keys: Sequence[Key]) -> list[Execution | _NotReadYet | None]:
        """Those that did not fit into the answer are asked for again, in a later batch."""
        found = await self._reads.get_many(keys)
        return [*found, *[_NotReadYet()] * (len(keys) - len(found))]

    async def _read_events(self, keys: Sequence[tuple[str, UUID, int]]) -> list[EventPage]:
        return await self._reads.events_after(keys, MAX_EVENTS)
