"""A dispatcher without servers: the queue is the fake, and the test answers claims itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from execution_orchestrator.application.ports.hints import Hint
from execution_orchestrator.application.workers.dispatcher import USUAL_PACE, Dispatcher, DispatcherPace
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession

from tests.fakes.pipeline import FakePipeline
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore


class Bench:
    """A dispatcher and everything around it."""

    def __init__(self, pace: DispatcherPace = USUAL_PACE) -> None:
        self.queue, self.pipeline, self.store = FakeQueue(), FakePipeline(), FakeStore()
        self.roster = Roster()
        parts: Any = (self.queue, self.store, self.pipeline, self.roster)
        self.dispatcher = Dispatcher(*parts, timedelta(seconds=30), pace)

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

    @property
    def claimed(self) -> list[int]:
        """The numbers of the hints that were claimed, in order."""
        return [work.execution_id.int for work in self.pipeline.submitted]

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
