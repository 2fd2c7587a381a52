"""Starting executions: everything is checked before the first write, then the pipeline commits.

Single starts that arrive together form a batch, and a batch stays one: one question to the catalog covers all
of its starts. Then each start is checked, and goes into the pipeline. The checks are the status of the
workflow, the input against the version's schema, and the task types, in this order.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from uuid import UUID

from service_kit.tools.batching import Batcher
from service_kit.tools.ids import new_uuid7

from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.engine.work import StartWork, WorkResult
from execution_orchestrator.application.ports.catalog import Catalog, ResolvedVersion, VersionQuery
from execution_orchestrator.application.ports.store import RequestId, Store
from execution_orchestrator.application.starting.door import Accepted, Door
from execution_orchestrator.application.starting.input_schema import InputChecks
from execution_orchestrator.application.starting.known_task_types import TaskTypes
from execution_orchestrator.domain.buckets import bucket_of_request
from execution_orchestrator.domain.commands import StartExecution
from execution_orchestrator.domain.limits import MAX_INLINE_EVALUATION_BYTES, MAX_OUTPUTS_OF_BATCH_BYTES
from execution_orchestrator.domain.plan import Plan


class WorkflowNotActiveError(Exception):
    """The workflow exists, but its status lets no execution start."""

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
    """A start as the caller asks for it. The size and the characters of its input have been checked."""

    namespace: str
    workflow_id: str
    version: int  # 0: the active one
    input: str  # JSON
    labels: Mapping[str, str]
    request_id: str = ""

    @property
    def query(self) -> VersionQuery:
        """The question to the catalog for the version."""
        return VersionQuery(self.namespace, self.workflow_id, self.version)

    def keyed(self, execution_id: UUID) -> RequestId:
        """Return the caller's request id with the hash of the body, for the execution that it would start."""
        return RequestId(self.namespace, self.request_id, self.body_hash(), execution_id)

    def body_hash(self) -> bytes:
        """Return a hash of every field that makes this another start. A repeat of the request has the same.

        The order of the input's fields does not count, because the fields of a Struct have no order.
        """
        body = {name: getattr(self, name) for name in _BODY}
        values = [*{**body, "input": json.loads(self.input), "labels": dict(self.labels)}.values()]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()


_BODY = [each.name for each in fields(StartRequest) if each.name not in ("namespace", "request_id")]
"""The fields that the hash of a start covers: all except the two by which a request id is looked up."""


class Starts:
    """Accepts executions."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        plans: Plans,
        task_types: TaskTypes,
        pipeline: Pipeline,
        inputs: InputChecks,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._plans = plans
        self._task_types = task_types
        self._pipeline = pipeline
        self._inputs = inputs
        self._lookups: Batcher[VersionQuery, None] = Batcher(self.refusals)
        self._door = Door(self._resolve_all, self._accept)

    async def start(self, request: StartRequest) -> WorkResult:
        """Accept an execution. It is committed when this returns.

        Raise WorkflowNotFoundError, WorkflowNotActiveError, InputSchemaError, TaskTypeUnknownError,
        RequestIdReusedError (in all of these cases no execution was written), CatalogUnavailableError,
        StoreUnavailableError (repeat the call with the same request id). Without a request id a repeat starts
        another execution.
        """
        return await self._door.submit(request)

    async def start_all(self, requests: Sequence[StartRequest]) -> list[WorkResult | Exception]:
        """Accept several executions. Return a result or an error for each request, in order.

        The errors are those that `start` raises. No start depends on another one of the batch.
        """
        found = await self._resolve_all(requests)
        starts = zip(requests, found, strict=True)
        accepted = await asyncio.gather(*(self._accept(*each, is_one_of_many=True) for each in starts))
        pending = [each for each in accepted if isinstance(each, asyncio.Future)]
        ended = iter(await asyncio.gather(*pending, return_exceptions=True))
        results = [next(ended) if isinstance(each, asyncio.Future) else each for each in accepted]
        await self._add_outputs([each for each in results if isinstance(each, WorkResult) and each.repeated])
        return [_raised_if_fatal(each) for each in results]

    async def check_active(self, query: VersionQuery) -> None:
        """Raise the reason if no execution of the version can start now.

        This is for callers that have much to do before they call `start`, which asks the catalog again. Calls
        that arrive together share one question. Raise WorkflowNotFoundError, WorkflowNotActiveError,
        CatalogUnavailableError. May be repeated.
        """
        await self._lookups.submit(query)

    async def refusals(self, queries: Sequence[VersionQuery]) -> list[Exception | None]:
        """Return for each query what `check_active` would raise, or None, in order. Ask the catalog once."""
        return [each if isinstance(each, Exception) else None for each in await self._resolve(queries)]

    async def _resolve_all(self, requests: Sequence[StartRequest]) -> list[ResolvedVersion | Exception]:
        return await self._resolve([request.query for request in requests])

    async def _resolve(self, queries: Sequence[VersionQuery]) -> list[ResolvedVersion | Exception]:
        """Return the version of each query, or why none of its executions can start now."""
        found = await self._catalog.resolve(queries)
        return [_if_active(query, each) for query, each in zip(queries, found, strict=True)]

    async def _accept(
        self, request: StartRequest, found: ResolvedVersion | Exception, *, is_one_of_many: bool = False
    ) -> Accepted | Exception:
        """Return the error of a start instead of raising it, so that it harms no other start of the batch."""
        try:
            return await self._start(request, found, is_one_of_many)
        except Exception as error:
            return error

    async def _start(
        self, request: StartRequest, found: ResolvedVersion | Exception, is_one_of_many: bool
    ) -> Accepted:
        bucket = bucket_of_request(request.namespace, request.request_id) if request.request_id else None
        execution_id = new_uuid7(bucket)
        request_id = request.keyed(execution_id) if request.request_id else None
        try:
            plan, version = await self._plan(request, found)
        except Exception:
            if request_id is not None:
                first = await self._first_answer(request_id, is_one_of_many)
                if first is not None:
                    return first  # it was accepted before, whatever has changed since
            raise
        command = StartExecution(
            execution_id, request.namespace, request.workflow_id, version, request.input, request.labels
        )
        done = self._pipeline.submit(StartWork(command, plan, request_id, is_one_of_many))
        may_be_heavy = plan.fans_out or len(request.input) > MAX_INLINE_EVALUATION_BYTES
        return done if may_be_heavy else await done

    async def _plan(self, request: StartRequest, found: ResolvedVersion | Exception) -> tuple[Plan, int]:
        """Return the plan for the execution, and its version. Raise what keeps the request from starting."""
        if isinstance(found, Exception):
            raise found
        plan = await self._plans.put(request.namespace, request.workflow_id, found.version, found.definition)
        await self._inputs.check(plan, request.workflow_id, found.version, request.input)
        await self._task_types.check(request.namespace, plan)
        return plan, found.version

    async def _first_answer(self, request_id: RequestId, is_one_of_many: bool) -> WorkResult | None:
        """Return the execution that an equal request with this id started, or None."""
        owner = await self._store.owner_of(request_id.namespace, request_id.request_id)
        if owner is None or owner.request_hash != request_id.request_hash:
            return None
        executions = await self._store.existing([owner.execution_id], with_output=not is_one_of_many)
        token = await self._store.consistency_token()
        return WorkResult(executions[0], repeated=True, token=token) if executions else None

    async def _add_outputs(self, repeated: Sequence[WorkResult]) -> None:
        """Load the outputs of the first answers, but only if all of them fit into one message.

        A thousand outputs of 1 MiB each would fill the memory, and no message could carry them.
        """
        if not repeated:
            return
        ids = list({each.execution.id for each in repeated})
        outputs = await self._store.outputs(ids, MAX_OUTPUTS_OF_BATCH_BYTES)
        for each in repeated:
            each.output_left_out = outputs is None
            output = (outputs or {}).get(each.execution.id)
            each.execution = replace(each.execution, output=output)


def _if_active(query: VersionQuery, found: ResolvedVersion | Exception) -> ResolvedVersion | Exception:
    """Return the version, or WorkflowNotActiveError; an error of the catalog as it is."""
    if isinstance(found, ResolvedVersion) and found.workflow_status != "ACTIVE":
        return WorkflowNotActiveError(query.workflow_id, found.workflow_status)
    return found


def _raised_if_fatal(result: WorkResult | BaseException) -> WorkResult | Exception:
    """Return the result of a start. Raise an error that concerns all of them, such as a cancelled call."""
    if isinstance(result, WorkResult | Exception):
        return result
    raise result
