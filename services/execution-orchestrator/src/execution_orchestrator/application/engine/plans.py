"""The plans that executions run on, compiled once and kept in memory, bounded.

The definition of every version that an execution runs on is kept in the orchestrator's own database, so that
what was accepted never waits for the catalog.
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
    """About what a plan takes in memory, in bytes; rather too much than too little.

    Compiled expressions take about 60 times what they take in the definition, schemas 20 times, literal data
    once, and a task 1.3 KB by itself (500 tasks with two expressions each: 40 KB, and 2.3 MB in memory).
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

    def cached(self, key: VersionKey) -> Plan | None:
        """Return the plan if it is in memory, without I/O."""
        return self._plans.get(key)

    async def get(self, namespace: str, workflow_id: str, version: int) -> Plan:
        """The plan of a version that an execution runs on. Raises InvalidDefinitionError,
        StoreUnavailableError.
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
        except Exception as defect:  # for example bytes that are no definition
            log.error("plan_not_compiled", workflow_id=workflow_id, version=version, exc_info=defect)
            problem = f"version {version} of `{workflow_id}` cannot be read: {type(defect).__name__}"
            raise InvalidDefinitionError(problem) from defect

    async def put(self, namespace: str, workflow_id: str, version: int, definition: bytes) -> Plan:
        """The plan of a version that the catalog gave; it is kept before any execution uses it."""
        key = (namespace, workflow_id, version)
        plan = self._plans.get(key)
        if plan is None:
            await self._store.save_definition(namespace, workflow_id, version, definition)
            plan = await self._keep(key, definition)
        return plan

    def peek(self, namespace: str, workflow_id: str, version: int) -> Plan | None:
        """The plan, if it is in memory."""
        return self._plans.peek((namespace, workflow_id, version))

    async def _keep(self, key: VersionKey, definition: bytes) -> Plan:
        """Compile the definition in a thread: a large one would hold up the event loop."""
        plan = await asyncio.to_thread(self._compile, definition)
        self._plans.put(key, plan, size_of(plan, definition))
        return plan
