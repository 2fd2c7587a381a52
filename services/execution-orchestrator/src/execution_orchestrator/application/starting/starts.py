"""Starting executions: everything is checked before the first write, then the pipeline commits.

The order of the checks: the workflow (is it there, is it Active, one question to the catalog for all starts
that arrive together), the version's input schema, the task types.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import cycle
from uuid import UUID

from service_kit.tools.batching import Batcher
from service_kit.tools.ids import new_uuid7

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.engine.work import StartWork, WorkResult
from execution_orchestrator.application.ports.catalog import Catalog, ResolvedVersion, VersionQuery
from execution_orchestrator.application.ports.store import RequestId, Store
from execution_orchestrator.application.starting.known_task_types import TaskTypes
from execution_orchestrator.domain.commands import StartExecution
from execution_orchestrator.domain.limits import MAX_INLINE_EVALUATION_BYTES, MAX_OUTPUTS_OF_BATCH_BYTES
from execution_orchestrator.domain.plan import Plan

CheckInput = Callable[[ResolvedVersion, VersionQuery, str], Awaitable[None]]
"""Raises if the input (JSON) breaks the version's schema."""


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

    def keyed(self, execution_id: UUID) -> RequestId:
        """Return the caller's request id with the hash of the body, for the execution that it would start."""
        return RequestId(self.namespace, self.request_id, self.body_hash(), execution_id)

    def body_hash(self) -> bytes:
        """Return a hash of everything that makes this another start; equal for a repeat of the request.

        The order of the input's fields does not count, because the fields of a Struct have no order.
        """
        body = {name: getattr(self, name) for name in _BODY}
        values = [*{**body, "input": json.loads(self.input), "labels": dict(self.labels)}.values()]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()


_BODY = [each.name for each in fields(StartRequest) if each.name not in ("namespace", "request_id")]
"""The fields that the hash of a start covers: all but the two that a request id is looked up by."""

Accepted = WorkResult | asyncio.Future[WorkResult]
"""A committed start, or one whose commit may take so long that no batch of starts should wait for it."""

BATCHES_IN_FLIGHT = 2
"""While one batch of starts asks the catalog the other one commits."""


class Starts:
    """Accepts executions."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        plans: Plans,
        task_types: TaskTypes,
        pipeline: Pipeline,
        check_input: CheckInput,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._plans = plans
        self._task_types = task_types
        self._pipeline = pipeline
        self._check_input = check_input
        self._batches: Iterator[Batcher[StartRequest, Accepted]] = cycle(
            [Batcher(self._accept_all) for _ in range(BATCHES_IN_FLIGHT)]
        )

    async def start(self, request: StartRequest) -> WorkResult:
        """Accept an execution; it is committed when this returns.

        Raises WorkflowNotFoundError, WorkflowNotActiveError, InputSchemaError, TaskTypeUnknownError,
        RequestIdReusedError (nothing was written), CatalogUnavailableError, StoreUnavailableError (repeat it
        with the same request id). Without a request id a repeat starts another execution.
        """
        accepted = await next(self._batches).submit(request)
        return accepted if isinstance(accepted, WorkResult) else await accepted

    async def start_all(self, requests: Sequence[StartRequest]) -> list[WorkResult | Exception]:
        """The same for several, each with a result or an error of its own; in order."""
        accepted = await asyncio.gather(*(self._start_one(each, is_one_of_many=True) for each in requests))
        pending = [each for each in accepted if isinstance(each, asyncio.Future)]
        ended = iter(await asyncio.gather(*pending, return_exceptions=True))
        results = [next(ended) if isinstance(each, asyncio.Future) else each for each in accepted]
        await self._add_outputs([each for each in results if isinstance(each, WorkResult) and each.repeated])
        return [_raised_if_fatal(each) for each in results]

    async def _add_outputs(self, repeated: Sequence[WorkResult]) -> None:
        """Load the outputs of the first answers, but only if all of them fit into one message.

        A thousand outputs of 1 MiB each would fill the memory, and none of them could be sent.
        """
        if not repeated:
            return
        ids = list({each.execution.id for each in repeated})
        outputs = await self._store.outputs(ids, MAX_OUTPUTS_OF_BATCH_BYTES)
        for each in repeated:
            each.output_left_out = outputs is None
            output = (outputs or {}).get(each.execution.id)
            each.execution = replace(each.execution, output=output)

    async def refusal(self, namespace: str, workflow_id: str, version: int) -> Exception | None:
        """Return why nothing of the workflow can start at this moment; None if it can.

        It is for callers who have much to do before they call `start`, which asks again. May be repeated.
        Returns WorkflowNotFoundError, WorkflowNotActiveError, CatalogUnavailableError.
        """
        try:
            await self._active(VersionQuery(namespace, workflow_id, version))
        except Exception as error:
            return error
        return None

    async def _accept_all(self, requests: Sequence[StartRequest]) -> list[Accepted | Exception]:
        return list(await asyncio.gather(*map(self._start_one, requests)))

    async def _start_one(
        self, request: StartRequest, *, is_one_of_many: bool = False
    ) -> Accepted | Exception:
        try:
            return await self._start(request, is_one_of_many)
        except Exception as error:
            return error

    async def _start(self, request: StartRequest, is_one_of_many: bool) -> Accepted:
        execution_id = new_uuid7()
        request_id = request.keyed(execution_id) if request.request_id else None
        try:
            plan, version = await self._plan(request)
        except Exception:
            if (
                request_id is not None
                and (first := await self._first_answer(request_id, is_one_of_many)) is not None
            ):
                return first  # it was accepted before, whatever has changed since
            raise
        command = StartExecution(
            execution_id, request.namespace, request.workflow_id, version, request.input, request.labels
        )
        done = self._pipeline.submit(StartWork(command, plan, request_id, is_one_of_many))
        may_be_heavy = plan.fans_out or len(request.input) > MAX_INLINE_EVALUATION_BYTES
        return done if may_be_heavy else await done

    async def _plan(self, request: StartRequest) -> tuple[Plan, int]:
        """What the execution would run on, and the version of it, once everything is checked."""
        query = VersionQuery(request.namespace, request.workflow_id, request.version)
        found = await self._active(query)
        await self._check_input(found, query, request.input)
        plan = await self._plans.put(request.namespace, request.workflow_id, found.version, found.definition)
        await self._task_types.check(request.namespace, plan)
        return plan, found.version

    async def _active(self, query: VersionQuery) -> ResolvedVersion:
        found = await self._catalog.resolve(query)
        if found.workflow_status != "ACTIVE":
            raise WorkflowNotActiveError(query.workflow_id, found.workflow_status)
        return found

    async def _first_answer(self, request_id: RequestId, is_one_of_many: bool) -> WorkResult | None:
        owner = await self._store.owner_of(request_id.namespace, request_id.request_id)
        if owner is None or owner.request_hash != request_id.request_hash:
            return None
        executions = await self._store.existing([owner.execution_id], with_output=not is_one_of_many)
        token = await self._store.consistency_token()
        return WorkResult(executions[0], repeated=True, token=token) if executions else None


def _raised_if_fatal(result: WorkResult | BaseException) -> WorkResult | Exception:
    """A result; what is no error of one start (a cancelled call) ends all of them."""
    if isinstance(result, WorkResult | Exception):
        return result
    raise result
