"""The plans that executions run on: compiled once, and kept in a bounded cache in memory.

The orchestrator's own database keeps the definition of every version that an execution runs on. So an
accepted execution never waits for the catalog.
"""

import asyncio
from collections.abc import Callable

import structlog
from service_kit.tools.bounded_cache import BoundedCache

from execution_orchestrator.application.ports.store import Store
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.plan import Plan

log = structlog.get_logger(__name__)

MAX_PLANS = 1_000
MAX_PLAN_BYTES = 128 * 1024 * 1024
"""Of all plans in memory, by the estimate of `size_of`."""

VersionKey = tuple[str, str, int]
"""Namespace, workflow id, version."""


def size_of(plan: Plan, definition: bytes) -> int:
    """Estimate the memory that a plan takes, in bytes. The estimate is rather too high than too low.

    In memory a compiled expression takes about 60 times its size in the definition, and a schema 20 times.
    Literal data takes its size, and each task takes 1.3 KB more. For example, the plan of a
    definition of 40 KB, with 500 tasks and two expressions in each, takes 2.3 MB.
    """
    return 20 * len(definition) + 4096 * len(plan.tasks)


class Plans:
    """Finds the plan of a version: in memory, else in the database."""

    def __init__(
        self, store: Store, compile_plan: Callable[[bytes], Plan], *, max_bytes: int = MAX_PLAN_BYTES
    ) -> None:
        self._store = store
        self._compile = compile_plan
        self._plans: BoundedCache[VersionKey, Plan] = BoundedCache(max_entries=MAX_PLANS, max_bytes=max_bytes)
        self._arriving: dict[VersionKey, asyncio.Task[Plan]] = {}

    def cached(self, key: VersionKey) -> Plan | None:
        """Return the plan if it is in memory, without I/O."""
        return self._plans.get(key)

    async def get(self, namespace: str, workflow_id: str, version: int) -> Plan:
        """Return the plan of a version that an execution runs on. May be repeated.

        Raise InvalidDefinitionError, StoreUnavailableError.
        """
        key = (namespace, workflow_id, version)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        definition = await self._store.load_definition(*key)
        if definition is None:
            raise InvalidDefinitionError(f"version {version} of `{workflow_id}` is not in the database")
        try:
            return await self._keep(key, definition)
        except InvalidDefinitionError:
            raise
        except Exception as defect:  # for example, the bytes are not a definition
            log.error("plan_not_compiled", workflow_id=workflow_id, version=version, exc_info=defect)
            problem = f"version {version} of `{workflow_id}` cannot be read: {type(defect).__name__}"
            raise InvalidDefinitionError(problem) from defect

    async def put(self, namespace: str, workflow_id: str, version: int, definition: bytes) -> Plan:
        """Return the plan of a version that the catalog gave. The definition is saved before that.

        Callers that come together share one save and one compilation. If one of them is cancelled, the others
        still get the plan. Raise InvalidDefinitionError, StoreUnavailableError. May be repeated.
        """
        key = (namespace, workflow_id, version)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        task = self._arriving.get(key)
        if task is None:
            task = self._arriving[key] = asyncio.create_task(self._save_and_keep(key, definition))
        return await asyncio.shield(task)

    def peek(self, namespace: str, workflow_id: str, version: int) -> Plan | None:
        """Return the plan if it is in memory. This does not count as a use of it."""
        return self._plans.peek((namespace, workflow_id, version))

    async def _save_and_keep(self, key: VersionKey, definition: bytes) -> Plan:
        try:
            await self._store.save_definition(*key, definition)
            return await self._keep(key, definition)
        finally:
            del self._arriving[key]

    async def _keep(self, key: VersionKey, definition: bytes) -> Plan:
        """Compile the definition in a thread: a large one would hold up the event loop."""
        plan = await asyncio.to_thread(self._compile, definition)
        self._plans.put(key, plan, size_of(plan, definition))
        return plan
