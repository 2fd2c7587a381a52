"""The use of a workflow: its executions in flight, and its task types without a worker."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from service_kit.data.consistency import ReadConsistency

from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.ports.reads import (
    ALL_VERSIONS,
    MAX_USAGE_VERSIONS,
    Reads,
    VersionUsage,
)
from execution_orchestrator.application.workers.live_task_types import LiveTaskTypes

MAX_TYPE_BYTES: Final = 2 * 1024 * 1024
"""The names of task types in one answer. The types of the request do not count, and the first version always
fits.
"""


@dataclass(frozen=True, slots=True)
class WorkflowUsage:
    """The executions in flight of a workflow, and its task types without a worker."""

    versions: list[VersionUsage]
    task_types_without_worker: list[str]
    next_below_version: int | None
    """The next page has the versions below this one. None on the last page."""


class Usage:
    """The reads of a workflow's use."""

    def __init__(
        self,
        reads: Reads,
        plans: Plans,
        live: LiveTaskTypes,
        task_types_of: Callable[[bytes], frozenset[str]],
        max_type_bytes: int = MAX_TYPE_BYTES,
    ) -> None:
        self._max_type_bytes = max_type_bytes
        self._reads = reads
        self._plans = plans
        self._live = live
        self._task_types_of = task_types_of  # the task types of a serialized definition

    async def of(
        self,
        namespace: str,
        workflow_id: str,
        task_types: Iterable[str],
        consistency: ReadConsistency,
        below_version: int | None = None,
    ) -> WorkflowUsage:
        """Return the newest versions in flight, and the task types that no worker offers: of these versions,
        and of the given types.

        Begin below a version if one is given. Return at most MAX_USAGE_VERSIONS, and fewer if the names of
        their types would exceed MAX_TYPE_BYTES. May be repeated. Raise HintsUnavailableError, and
        ServiceError UNAVAILABLE if no database answers.
        """
        below = ALL_VERSIONS if below_version is None else below_version
        found = await self._reads.usage(namespace, workflow_id, below_version=below, consistency=consistency)
        asked = set(task_types)
        versions: list[VersionUsage] = []
        size = 0
        for usage in found:
            types = await self._task_types(namespace, workflow_id, usage.version, consistency)
            size += sum(len(each.encode()) for each in types - asked)
            if versions and size > self._max_type_bytes:
                break
            asked |= types
            versions.append(usage)
        more = len(versions) < len(found) or len(found) == MAX_USAGE_VERSIONS
        missing = await self._live.missing(namespace, asked)
        return WorkflowUsage(versions, missing, versions[-1].version if more else None)

    async def _task_types(
        self, namespace: str, workflow_id: str, version: int, consistency: ReadConsistency
    ) -> frozenset[str]:
        """Return the task types of a version. Do not compile it: that would evict plans that the engine
        needs.
        """
        plan = self._plans.peek(namespace, workflow_id, version)
        if plan is not None:
            return plan.task_types
        stored = await self._reads.definition(namespace, workflow_id, version, consistency=consistency)
        return self._task_types_of(stored or b"")
