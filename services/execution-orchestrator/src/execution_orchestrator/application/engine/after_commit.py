"""After a commit: listeners and Redis learn of it, callers get their results, and leases go out.

No error here fails a caller, because its work is committed. Nothing here holds up the lane: answers that need
another look into the database (a consistency token, the first answer of a repeated start) are given beside
it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any
from uuid import UUID

import structlog
from service_kit.errors import ServiceError
from service_kit.tools.batching import Batcher

from execution_orchestrator.application.engine.batch import Batch, reporter_of
from execution_orchestrator.application.engine.committed import CommitListener, Committed
from execution_orchestrator.application.engine.notifier import Notice, Notifier
from execution_orchestrator.application.engine.work import (
    ExecutionNotFoundError,
    StartWork,
    WorkEntry,
    WorkResult,
)
from execution_orchestrator.application.ports.store import RetryTransactionError, Store, StoreUnavailableError
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus

log = structlog.get_logger(__name__)

Published = asyncio.Future[None] | None
"""Done when Redis has what follows from the commit; None if nobody needs to wait for that."""


class AfterCommit:
    """Announces each committed batch once: to the listeners, to Redis, to callers and to workers."""

    def __init__(self, store: Store, notifier: Notifier, listeners: Sequence[CommitListener]) -> None:
        self._listeners = listeners
        self._store = store
        self._notifier = notifier
        self._tokens = Batcher[None, str](self._read_tokens)
        self._answers: set[asyncio.Task[None]] = set()

    def conclude(self, batch: Batch) -> None:
        """Announce the batch and settle its entries. Raise nothing.

        A report's result has the leases for its worker, so that they go out along with the acknowledgement.
        """
        published = self._announce(batch.committed())
        _add_next_leases(batch)
        visible: list[tuple[WorkEntry, WorkResult]] = []
        for entry, result in batch.results.items():
            if not entry.is_open:
                continue  # an earlier transaction of the same work was stored after all
            if isinstance(result, WorkResult) and entry.item.visible:
                entry.is_open = False
                visible.append((entry, result))
            else:
                entry.settle(result)
        for claimant, lease in batch.leases:
            _guarded("lease_not_delivered", claimant.deliver, lease)
        batch.leases.clear()
        if visible:
            self._answer(self._with_token(visible, published))
        repeats = {entry: id_ for entry, id_ in batch.repeats.items() if entry.is_open}
        if repeats:
            for entry in repeats:
                entry.is_open = False
            self._answer(self._repeated(repeats))

    async def close(self) -> None:
        """Return when every caller has its answer."""
        while self._answers:
            await asyncio.wait(self._answers)
        await self._tokens.close()

    def _announce(self, committed: Committed) -> Published:
        for listener in self._listeners:
            _guarded("commit_listener_failed", listener, committed)
        _log_failures(committed)
        if not committed.rings:
            return None
        notice = Notice(committed.hints, committed.rings)
        published = _guarded("commit_not_published", self._notifier.publish, notice)
        return published if committed.hints else None  # nobody waits to see a ring

    def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _with_token(
        self, answers: Iterable[tuple[WorkEntry, WorkResult]], published: Published
    ) -> None:
        """Give results to callers that want to read what they wrote."""
        token = await self._token()
        for entry, result in answers:
            result.token = token
            result.published = published
            entry.settle(result)

    async def _repeated(self, repeats: dict[WorkEntry, UUID]) -> None:
        """Answer repeated starts with the executions of the first ones."""
        try:
            executions = await self._first_answers(repeats)
        except Exception as error:
            for entry in repeats:
                entry.settle(error)
            return
        token = await self._token()
        for entry, id_ in repeats.items():
            found = executions.get((id_, _is_one_of_many(entry)))
            repeated = None if found is None else WorkResult(found, repeated=True, token=token)
            entry.settle(repeated or ExecutionNotFoundError(str(id_)))

    async def _first_answers(self, repeats: dict[WorkEntry, UUID]) -> dict[tuple[UUID, bool], Execution]:
        """Return the executions, by id and by whether the output is left out."""
        found: dict[tuple[UUID, bool], Execution] = {}
        for is_lean in (False, True):
            ids = {id_ for entry, id_ in repeats.items() if _is_one_of_many(entry) is is_lean}
            if ids:
                executions = await self._store.existing(list(ids), with_output=not is_lean)
                found |= {(each.id, is_lean): each for each in executions}
        return found

    async def _token(self) -> str:
        """Return a token, or an empty text if Postgres has gone since the commit; that fails no caller."""
        try:
            return await self._tokens.submit(None)
        except (StoreUnavailableError, RetryTransactionError, ServiceError) as error:
            log.warning("token_missing", error=str(error))
        except Exception as error:
            log.error("token_missing", exc_info=error)
        return ""

    async def _read_tokens(self, wanted: Sequence[None]) -> list[str]:
        """Read one token for all callers that asked before."""
        return [await self._store.consistency_token()] * len(wanted)


def _is_one_of_many(entry: WorkEntry) -> bool:
    return isinstance(entry.item, StartWork) and entry.item.is_one_of_many


def _add_next_leases(batch: Batch) -> None:
    """Put each lease for a reporter into the result of its report. If nobody waits for that, send it now."""
    for entry, lease in batch.next_leases:
        result = batch.results[entry]
        if entry.is_open and not entry.future.done() and isinstance(result, WorkResult):
            result.next_leases += (lease,)
        else:
            _guarded("lease_not_delivered", reporter_of(entry).deliver, lease)
    batch.next_leases.clear()


def _guarded(event: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function. Log what it raises, so that the rest of what follows the commit still happens."""
    try:
        return function(*arguments)
    except Exception as error:
        log.error(event, exc_info=error)
        return None


def _log_failures(committed: Committed) -> None:
    for changes in committed.changes.values():
        execution = changes.execution
        if execution.status is ExecutionStatus.FAILED and changes.events and execution.failure is not None:
            log.error(
                "execution_failed",
                namespace=execution.namespace,
                execution_id=str(execution.id),
                workflow_id=execution.workflow_id,
                task_id=execution.failure.task_id or None,
                attempt=execution.failure.attempt or None,
                failure_type=execution.failure.type,
                failure_message=execution.failure.message[:500],
                retry_state=execution.failure.retry_state,
            )
