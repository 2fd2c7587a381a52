"""Publishes what follows from commits: hints go into the queue, rings to the doorbell, one flush for many.

An error here fails no call: the sweep repairs what Redis did not accept.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import structlog
from service_kit.tools.batching import Batcher
from workflow_contract.doorbell import Ring

from execution_orchestrator.application.ports.doorbell import Doorbell
from execution_orchestrator.application.ports.hints import Hint, HintsUnavailableError, Kind
from execution_orchestrator.application.ports.queue import Queue

log = structlog.get_logger(__name__)


class Notice(NamedTuple):
    """The hints and rings of one batch."""

    hints: Sequence[Hint]
    rings: Sequence[Ring]


class Notifier:
    """Pushes the hints and publishes the rings that arrived while the last flush was under way."""

    def __init__(
        self, queue: Queue, doorbell: Doorbell, on_pushed: Callable[[Collection[Kind]], None]
    ) -> None:
        self._queue = queue
        self._doorbell = doorbell
        self._on_pushed = on_pushed
        self._flushes = Batcher(self._flush, max_batch=10_000, max_queue=1_000_000)
        self._down = False

    def publish(self, notice: Notice) -> asyncio.Future[None]:
        """Queue a notice. The future is done when Redis has it, or does not answer. It never fails."""
        return self._flushes.submit(notice)

    async def close(self) -> None:
        """Publish what is left."""
        await self._flushes.close()

    async def _flush(self, notices: Sequence[Notice]) -> list[None]:
        hints = [hint for notice in notices for hint in notice.hints]
        latest = {
            ring.execution_id: ring
            for notice in notices
            for ring in notice.rings
            if not ring.workers_must_check
        }
        stops = [ring for notice in notices for ring in notice.rings if ring.workers_must_check]
        try:
            if hints:
                await self._queue.push(hints)
            if latest or stops:
                await self._doorbell.publish([*latest.values(), *stops])
            self._down = False
        except HintsUnavailableError as error:
            if not self._down:
                log.warning(
                    "redis_unavailable", error=str(error), next_step="the sweep repairs what is missed"
                )
            self._down = True
        if hints:
            self._on_pushed({(hint.namespace, hint.task_type, hint.queue) for hint in hints})
        return [None] * len(notices)
