"""Starting executions: everything is checked before the first write, then the pipeline commits.

The order of the checks: the workflow (is it there, is it Active, one question to the catalog for all starts
that arrive together), the version's input schema, the task types.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service_kit.ids import new_uuid7

from execution_orchestrator.application.pipeline import Pipeline
from execution_orchestrator.application.plans import Plans
from execution_orchestrator.application.ports import RequestId
from execution_orchestrator.application.ports_catalog import Catalog, ResolvedVersion, VersionQuery
from execution_orchestrator.application.task_types import TaskTypes
from execution_orchestrator.application.work import StartWork, WorkResult
from execution_orchestrator.domain.commands import StartExecution

CheckInput = Callable[[ResolvedVersion, VersionQuery, str], None]
"""Raises where the input (JSON) breaks the version's schema."""


class WorkflowNotActiveError(Exception):
    """The workflow is there, but its status lets nothing start."""

    def __init__(self, workflow_id: str, status: str) -> None:
        next_step = {
            "DRAFT": "call PublishWorkflow to let executions start",
            "INACTIVE": "call ActivateWorkflow to let executions start",
        }.get(status, "an archived workflow stays so: create another one under a new id")
        super().__init__(f"workflow `{workflow_id}` is {status}; {next_step}")
        self.workflow_id = workflow_id
        self.status = status


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start as the caller asked for it, its payload checked for size and characters."""

    namespace: str
    workflow_id: str
    version: int  # 0: the active one
    input: str  # JSON
    labels: Mapping[str, str]
    request_id: str = ""


class Starts:
    """Accepts executions."""

    def __init__(
        self,
        catalog: Catalog,
        plans: Plans,
        task_types: TaskTypes,
        pipeline: Pipeline,
        check_input: CheckInput,
    ) -> None:
        self._catalog = catalog
        self._plans = plans
        self._task_types = task_types
        self._pipeline = pipeline
        self._check_input = check_input

    async def start(self, request: StartRequest) -> WorkResult:
        """Accept an execution; it is committed when this returns.

        Raises WorkflowNotFoundError, WorkflowNotActiveError, InputSchemaError, TaskTypeUnknownError,
        RequestIdReusedError (nothing was written), CatalogUnavailableError, StoreUnavailableError (repeat it
        with the same request id). Without a request id a repeat starts another execution.
        """
        query = VersionQuery(request.namespace, request.workflow_id, request.version)
        found = await self._catalog.resolve(query)
        if found.workflow_status != "ACTIVE":
            raise WorkflowNotActiveError(request.workflow_id, found.workflow_status)
        self._check_input(found, query, request.input)
        plan = await self._plans.put(request.namespace, request.workflow_id, found.version, found.definition)
        await self._task_types.check(request.namespace, plan)
        command = StartExecution(
            new_uuid7(), request.namespace, request.workflow_id, found.version, request.input, request.labels
        )
        return await self._pipeline.submit(StartWork(command, plan, _request_id(request, command)))

    async def start_all(self, requests: Sequence[StartRequest]) -> list[WorkResult | BaseException]:
        """Accept many; each answers for itself, in order."""
        return await asyncio.gather(*map(self.start, requests), return_exceptions=True)


def _request_id(request: StartRequest, command: StartExecution) -> RequestId | None:
    if not request.request_id:
        return None
    body: list[Any] = [request.workflow_id, request.version, request.input, sorted(request.labels.items())]
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    return RequestId(request.namespace, request.request_id, digest, command.execution_id)
