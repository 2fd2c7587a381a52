"""Results that workers report: an answer that nobody waits for loses no lease."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from execution_orchestrator.application.engine.work import WorkResult
from execution_orchestrator.application.workers.leases import Leases
from execution_orchestrator.application.workers.reports import Report, record
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from execution_orchestrator.domain.commands import Succeeded
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from execution_orchestrator.domain.task import Claim, Lease, TaskKey

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class HeldLeases:
    """Takes reports, and lets the test say when they are recorded."""

    receipt_of = staticmethod(Leases.receipt_of)

    def __init__(self) -> None:
        self.done: asyncio.Future[WorkResult] = asyncio.get_running_loop().create_future()

    def report(self, *_: object) -> "asyncio.Future[WorkResult]":
        return self.done


def lease(task_id: str) -> Lease:
    span = timedelta(seconds=60)
    return Lease(
        UUID(int=1), "default", "flow", TaskKey(task_id), 1, 1, "noop", "null", span, None, bytes(16)
    )


@pytest.mark.parametrize("is_closed", [True, False])
async def test_a_lease_that_follows_from_a_report_is_not_lost_with_the_wait_for_its_answer(
    is_closed: bool,
) -> None:
    handed_back: list[Claim] = []
    worker = WorkerIdentity("w", "boot", "default", frozenset({"noop"}), frozenset({"default"}), 10)
    session = WorkerSession(worker, handed_back.append)
    session.grant(1)
    session.reserve()
    leases: Any = HeldLeases()
    report = Report("reference", lease("first").claim, Succeeded("1"))
    waiting = asyncio.create_task(record(leases, report, session))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    if is_closed:
        session.close()

    execution = Execution(UUID(int=1), "default", "flow", 1, {}, NOW, ExecutionStatus.RUNNING)
    leases.done.set_result(WorkResult(execution, Effect.APPLIED, next_leases=(lease("second"),)))
    await asyncio.sleep(0)

    second = lease("second").claim
    assert handed_back == ([second] if is_closed else [])
    assert session.held_of([UUID(int=1)]) == ([] if is_closed else [second])
