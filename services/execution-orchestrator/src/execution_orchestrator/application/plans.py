"""The plans that executions run on, compiled once and kept in memory, bounded.

The definition of every version that an execution runs on is kept in the orchestrator's own database, so that
what was accepted never waits for the catalog.
"""

from collections import OrderedDict
from collections.abc import Callable

from execution_orchestrator.application.ports import Store
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.plan import Plan

MAX_PLANS = 1_000

VersionKey = tuple[str, str, int]
"""Namespace, workflow id, version."""


class Plans:
    """Finds the plan of a version: in memory, else in the database."""

    def __init__(self, store: Store, compile_plan: Callable[[bytes], Plan]) -> None:
        self._store = store
        self._compile = compile_plan
        self._plans: OrderedDict[VersionKey, Plan] = OrderedDict()

    async def get(self, namespace: str, workflow_id: str, version: int) -> Plan:
        """The plan of a version that an execution runs on. Raises InvalidDefinitionError,
        StoreUnavailableError.
        """
        key = (namespace, workflow_id, version)
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        definition = await self._store.load_definition(*key)
        if definition is None:
            raise InvalidDefinitionError(f"version {version} of `{workflow_id}` was never kept here")
        return self._keep(key, definition)

    async def put(self, namespace: str, workflow_id: str, version: int, definition: bytes) -> Plan:
        """The plan of a version that the catalog gave; it is kept before any execution uses it."""
        key = (namespace, workflow_id, version)
        plan = self._plans.get(key)
        if plan is None:
            await self._store.save_definition(namespace, workflow_id, version, definition)
            plan = self._keep(key, definition)
        return plan

    def peek(self, namespace: str, workflow_id: str, version: int) -> Plan | None:
        """The plan, if it is in memory."""
        return self._plans.get((namespace, workflow_id, version))

    def _keep(self, key: VersionKey, definition: bytes) -> Plan:
        plan = self._plans[key] = self._compile(definition)
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return plan
