"""Callers that wait for an execution to change: long polls for its end, and streams of its events.

The doorbell wakes them. Their answers come from Postgres, or from the commit that this replica has just
made. A ring may be lost. So the replica looks up every execution that somebody waits for about once a
second: some of them every 100 ms, and never more than MAX_LOOK with one statement.

The streams (`Waiters.events`) serve StreamExecutionEvents. Our own programs watch through the gateway. The
method is for programs that have only the orchestrator, and it is part of the contract.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from uuid import UUID

import structlog
from service_kit.errors import DRAINING, ServiceError, unavailable
from service_kit.process.duties import Rounds
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
"""The time between two looks at an execution."""

LOOKS_PER_SECOND = 10
MAX_LOOK = 1_000
"""Executions that one statement looks up. If callers wait for more than 10,000 executions, the replica looks
at each less often than once a second.
"""

MAX_EVENTS = 500
"""Events in one message of a stream."""

MAX_READ_KEYS = 128
"""Executions, or pages of events, that one statement reads. Its rows have a limit in bytes too."""

Key = tuple[str, UUID]


class _NotReadYet:
    """The answer for an execution that did not fit into the same read as the others."""


class Waiter:
    """A caller that waits until its execution has more events than it knows.

    A waiter for the end ignores all other events, which saves a read of the database for each step.
    """

    def __init__(self, known: int, *, for_the_end: bool) -> None:
        self.known = known
        self.final: Execution | None = None  # set by the commit itself
        self._for_the_end = for_the_end
        self._newest = 0
        self._must_look = False
        self._woken = asyncio.Event()

    def notify(self, ring: Ring, execution: Execution | None) -> None:
        """Wake the waiter if this change of its execution concerns it."""
        if self._for_the_end and ring.status not in FINAL_EXECUTION_STATUSES:
            return
        if execution is not None and execution.final:
            self.final = execution
        if ring.last_sequence > self.known:
            self._newest = max(self._newest, ring.last_sequence)
            self._woken.set()

    def wake(self) -> None:
        """Make the waiter look again, whatever it knows."""
        self._must_look = True
        self._woken.set()

    async def wait(self) -> None:
        """Wait until there are more events than it knows, or until `wake`."""
        while self._newest <= self.known and not self._must_look:
            self._woken.clear()
            await self._woken.wait()
        self._must_look = False


class Waiters:
    """All waiters on this replica."""

    def __init__(self, reads: Reads, *, look_seconds: float = LOOK_SECONDS, max_look: int = MAX_LOOK) -> None:
        self._reads = reads
        self._look_seconds = look_seconds
        self._max_look = max_look
        self._waiting: dict[UUID, set[Waiter]] = defaultdict(set)
        self._looked_at: dict[UUID, float] = {}  # of executions that somebody waits for, oldest look first
        self._executions = Batcher[Key, Execution | _NotReadYet | None](
            self._read_executions, max_batch=MAX_READ_KEYS
        )
        self._events = Batcher[tuple[str, UUID, int], EventPage](self._read_events, max_batch=MAX_READ_KEYS)
        self._draining = False
        self.rounds = Rounds()

    # -- waking ---------------------------------------------------------------------------------

    def committed(self, committed: Committed) -> None:
        """Wake the waiters of executions that this replica has committed, without Redis. A listener of
        commits.
        """
        self.ring(committed.rings, {id_: each.execution for id_, each in committed.changes.items()})

    def ring(self, rings: Sequence[Ring], committed: Mapping[UUID, Execution] | None = None) -> None:
        """Wake the waiters of these executions. `committed` has those that this replica has just
        committed.
        """
        if not self._waiting:
            return
        for ring in rings:
            for waiter in self._waiting.get(ring.execution_id, ()):
                waiter.notify(ring, committed.get(ring.execution_id) if committed else None)

    def ring_all(self) -> None:
        """Make every waiter look again, because rings may have been lost."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.wake()

    async def run(self) -> None:
        """Find changes whose ring was lost, until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds / LOOKS_PER_SECOND)
            self.rounds.done()
            part = self._next_to_look_at()
            if not part:
                continue
            try:
                self.ring(await self._reads.look(part))
            except ServiceError as error:
                log.info("waiters_look_failed", error=error.message)

    def _next_to_look_at(self) -> list[UUID]:
        """Return the executions whose last look is oldest, and at least a second ago. Move them to the
        end.
        """
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
        """End every wait, so that its caller goes to another replica."""
        self._draining = True
        self.ring_all()

    # -- waiting --------------------------------------------------------------------------------

    async def until_final(
        self, namespace: str, execution_id: UUID, timeout: float, run_number: int = 0
    ) -> Execution:
        """Return the execution when a run of it has ended, or in its state after `timeout` seconds.

        Run 0 is the present run of the execution. May be repeated. Raise ExecutionNotFoundError,
        RunNotStartedError, and ServiceError UNAVAILABLE (DRAINING).
        """
        waiter = self._enter(execution_id, Waiter(0, for_the_end=True))
        try:
            async with asyncio.timeout(timeout):
                while True:
                    # The first pass always reads, so an execution of another namespace is not found.
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
        """Yield pages of events after a sequence number, as they are committed. End after the final event.

        Raise ExecutionNotFoundError, and ServiceError UNAVAILABLE (DRAINING).
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
                    is_behind = execution.last_sequence > waiter.known  # it changed between the two reads
                    if execution.final and not is_behind:
                        return  # the caller had every event already
                self._refuse_draining()
                if not is_behind:
                    await waiter.wait()
        finally:
            self._leave(execution_id, waiter)

    def _refuse_draining(self) -> None:
        if self._draining:
            message = "this replica is shutting down: repeat the call, and another replica continues"
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
        """Read executions. Those that did not fit into the answer are read again, with a later batch."""
        found = await self._reads.get_many(keys)
        return [*found, *[_NotReadYet()] * (len(keys) - len(found))]

    async def _read_events(self, keys: Sequence[tuple[str, UUID, int]]) -> list[EventPage]:
        return await self._reads.events_after(keys, MAX_EVENTS)
