"""Large evaluations: a thread makes them, and their commands join a later batch of the pipeline.

No lock is held and no other command waits meanwhile. The CEL library keeps Python's global lock during one
evaluation, so more threads would not make them faster.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from service_kit.batching import Later

from execution_orchestrator.application.work import Work
from execution_orchestrator.domain.errors import HeavyEvaluationError


class Evaluations:
    """The thread for large evaluations."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluation")

    def postponed(
        self, works: Sequence[tuple[int, Work]], heavy: Mapping[int, HeavyEvaluationError]
    ) -> dict[int, Later[Work]]:
        """Return what to answer for works that need an evaluation: they come back with its result."""
        if not heavy:
            return {}
        return {
            place: Later(partial(self.evaluated, work, heavy[place]))
            for place, work in works
            if place in heavy
        }

    async def evaluated(self, work: Work, heavy: HeavyEvaluationError) -> Work:
        """Return the work with the result of its evaluation. May be repeated."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, heavy.compute)
        return replace(work, evaluated={**(work.evaluated or {}), heavy.key: found})

    def close(self) -> None:
        """End the thread, after the evaluation that it is making."""
        self._thread.shutdown(cancel_futures=True)
