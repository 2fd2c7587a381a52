"""What a change of a workflow would touch: its executions in flight, and the task types without a worker."""

from collections.abc import Iterable
from dataclasses import dataclass

from service_kit.consistency import ReadConsistency
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from execution_orchestrator.application.live_task_types import LiveTaskTypes
from execution_orchestrator.application.plans import Plans
from execution_orchestrator.application.ports_reads import Reads, VersionUsage


@dataclass(frozen=True, slots=True)
class WorkflowUsage:
    """What runs of a workflow."""

    versions: list[VersionUsage]
    task_types_without_worker: list[str]


class Usage:
    """Answers what is in use."""

    def __init__(self, reads: Reads, plans: Plans, live: LiveTaskTypes) -> None:
        self._reads = reads
        self._plans = plans
        self._live = live

    async def of(
        self, namespace: str, workflow_id: str, task_types: Iterable[str], consistency: ReadConsistency
    ) -> WorkflowUsage:
        """The versions in flight, and which of the given types and of theirs no live worker offers.

        May be repeated. Raises HintsUnavailableError, and ServiceError UNAVAILABLE where no database answers.
        """
        versions = await self._reads.usage(namespace, workflow_id, consistency=consistency)
        asked = set(task_types)
        for usage in versions:
            asked |= await self._task_types(namespace, workflow_id, usage.version, consistency)
        return WorkflowUsage(versions, await self._live.missing(namespace, asked))

    async def _task_types(
        self, namespace: str, workflow_id: str, version: int, consistency: ReadConsistency
    ) -> frozenset[str]:
        """Without compiling what is not in memory: that would put out plans that are needed for more."""
        plan = self._plans.peek(namespace, workflow_id, version)
        if plan is not None:
            return plan.task_types
        stored = await self._reads.definition(namespace, workflow_id, version, consistency=consistency)
        message = WorkflowDefinition.FromString(stored or b"")
        return frozenset(task.type for task in message.tasks)
