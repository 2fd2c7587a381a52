"""The input of a start against the schema of its version."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from service_kit.errors import OVERLOADED, ServiceError, resource_exhausted

from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.plan import Plan

MAX_LARGE_CHECKS: Final = 2_000
"""Large inputs that wait for the child process: two batches of starts. Most checks take a millisecond."""
MAX_WAIT_SECONDS: Final = 10.0
"""How long a large input waits for the child process. One slow check may hold up others for 5 s."""

Violations = Sequence[tuple[str, str]]
"""Each as a path (`input.order.total`) and a sentence."""


class InputSchemaError(Exception):
    """The input breaks the schema."""

    def __init__(self, workflow_id: str, version: int, violations: Violations) -> None:
        path, problem = violations[0]
        super().__init__(
            f"the input breaks the schema of `{workflow_id}` version {version}: {path}: {problem}; correct it"
        )
        self.workflow_id = workflow_id
        self.version = version
        self.violations = violations


class InputChecks:
    """Checks inputs by their plans. Large inputs are checked one after another, off the event loop."""

    def __init__(
        self, *, max_waiting: int = MAX_LARGE_CHECKS, max_wait_seconds: float = MAX_WAIT_SECONDS
    ) -> None:
        self._room = asyncio.Semaphore(1)
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._waiting = 0

    async def check(self, plan: Plan, workflow_id: str, version: int, input_: str) -> None:
        """Raise InputSchemaError if the input (JSON) breaks the schema of the version.

        The same holds if the check takes too much time or memory. Raise InvalidDefinitionError if the schema
        is bad, and ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if too many large inputs wait.
        """
        violations = await self._violations(plan, input_)
        if violations:
            raise InputSchemaError(workflow_id, version, violations)

    async def _violations(self, plan: Plan, input_: str) -> Violations:
        try:
            return plan.input_violations(input_)
        except HeavyEvaluationError as error:
            heavy = error
        return await self._check_elsewhere(heavy.compute)

    async def _check_elsewhere(self, compute: Callable[[], Violations]) -> Violations:
        if self._waiting >= self._max_waiting:
            raise self._too_many()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise self._too_many() from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.to_thread(compute)
        finally:
            self._room.release()

    def _too_many(self) -> ServiceError:
        message = f"{self._waiting} large inputs wait to be checked: repeat the start in a few seconds"
        return resource_exhausted(OVERLOADED, message, limit=str(self._max_waiting))
