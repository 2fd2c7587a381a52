"""A dispatcher without servers: the queue is the fake, and the test answers claims itself."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.ports.queue import HintsUnavailableError, QueuedHint
from execution_orchestrator.application.workers.dispatcher import Dispatcher
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from execution_orchestrator.domain.commands import ClaimTask
from service_kit.errors import ServiceError

from tests.contract.orchestrator.fakes import FakeQueue

READY_TIME = datetime(2030, 1, 1, tzinfo=UTC)


class Queue(FakeQueue):
    """Counts looks; a look can be held back, and Redis can be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False

    async def pop(self, queue: str, limit: int, accepts: Collection[tuple[str, str]]) -> list[QueuedHint]:
        self._check()
        self.looks += 1
        taken = await super().pop(queue, limit, accepts)
        self.under_way += 1
        await self.gate.wait()
        self.under_way -= 1
        return taken

    async def length(self, queue: str) -> int:
        self._check()
        return await super().length(queue)

    def _check(self) -> None:
        if self.down:
            raise HintsUnavailableError("Redis does not answer")


class Pipeline:
    """Keeps the claims, for the test to answer."""

    def __init__(self) -> None:
        self.claims: list[tuple[CommandWork, asyncio.Future[Any]]] = []
        self.refusal: ServiceError | None = None

    def submit(self, work: CommandWork) -> asyncio.Future[Any]:
        assert isinstance(work.command, ClaimTask)
        if self.refusal is not None:
            raise self.refusal
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.claims.append((work, future))
        return future

    @property
    def claimed(self) -> list[int]:
        """The numbers of the hints that were claimed, in order."""
        return [work.execution_id.int for work, _ in self.claims]


class Store:
    """Has tasks that are READY, oldest first."""

    def __init__(self) -> None:
        self.ready: list[Hint] = []
        self.pages = 0

    async def ready_hints(self, after: Any, waited: timedelta, limit: int) -> list[tuple[datetime, Hint]]:
        self.pages += 1
        times = [READY_TIME + timedelta(seconds=number) for number in range(len(self.ready))]
        entries = list(zip(times, self.ready, strict=True))
        return [entry for entry in entries if after is None or entry[0] > after[0]][:limit]


class Bench:
    """A dispatcher and everything around it."""

    def __init__(self) -> None:
        self.queue, self.pipeline, self.store = Queue(), Pipeline(), Store()
        self.roster = Roster()
        parts: Any = (self.queue, self.store, self.pipeline, self.roster)
        self.dispatcher = Dispatcher(*parts, timedelta(seconds=30))

    def session(
        self, *task_types: str, credits: int = 0, queues: Sequence[str] = ("default",), slots: int = 100
    ) -> WorkerSession:
        """A worker joins, and grants credits."""
        types = frozenset(task_types or ("noop",))
        worker = WorkerIdentity("worker", "boot", "default", types, frozenset(queues), slots)
        session = WorkerSession(worker, lambda lease: None)
        self.roster.add(session)
        if credits:
            session.grant(credits)
        return session

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Feed the sessions as long as the block lasts."""
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def hint(number: int, task_type: str = "noop", queue: str = "default") -> Hint:
    return Hint("default", UUID(int=number), "only", -1, task_type, queue)
