"""How the tries that cannot be decided are counted, and when they lead to a quarantine."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from execution_orchestrator.application.engine import quarantine
from execution_orchestrator.application.engine.quarantine import Quarantines
from execution_orchestrator.application.engine.work import (
    CommandWork,
    ExecutionNotFoundError,
    Work,
    WorkResult,
)
from execution_orchestrator.domain.commands import QuarantineExecution
from execution_orchestrator.domain.decision import Effect
from execution_orchestrator.domain.execution import Execution, Quarantine
from service_kit.errors import OVERLOADED, resource_exhausted
from structlog.testing import capture_logs

ONE, OTHER = UUID(int=1), UUID(int=2)
PAUSES = (1, 2, 4, 8)
"""Seconds until the next try counts."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def executed(work: Work) -> WorkResult:
    """The result of a quarantine that is committed."""
    assert isinstance(work, CommandWork)
    assert isinstance(work.command, QuarantineExecution)
    stored = Quarantine(NOW, work.command.reason, work.command.tries)
    execution = Execution(work.execution_id, "default", "flow", 1, {}, NOW, quarantine=stored)
    return WorkResult(execution, Effect.APPLIED)


class Pipeline:
    """A pipeline that notes what is submitted, and gives the result that a test chooses."""

    def __init__(self) -> None:
        self.submitted: list[Work] = []
        self.result: Callable[[Work], WorkResult] = executed
        self.seconds = 0.0
        self.quarantines = Quarantines(self.submit, lambda: self.seconds)

    def submit(self, work: Work) -> "asyncio.Future[WorkResult]":
        self.submitted.append(work)
        future: asyncio.Future[WorkResult] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(self.result(work))
        except (ExecutionNotFoundError, RuntimeError) as error:
            future.set_exception(error)
        return future

    async def fail(self, *pauses: float, execution_id: UUID = ONE, reason: str = "no plan") -> None:
        """A try, and one more after each of the pauses."""
        self.quarantines.note(execution_id, reason)
        for seconds in pauses:
            self.seconds += seconds
            self.quarantines.note(execution_id, reason)
        await asyncio.sleep(0)  # the callbacks of the results run


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_the_last_of_a_bounded_number_of_tries_quarantines_the_execution(pipeline: Pipeline) -> None:
    await pipeline.fail(*PAUSES[:-1])
    assert pipeline.submitted == []
    await pipeline.fail(PAUSES[-1], reason="still no plan")
    assert pipeline.submitted == [CommandWork(ONE, QuarantineExecution("still no plan", 5))]
    assert len(pipeline.quarantines) == 0, "what is quarantined is not counted any more"


async def test_tries_within_the_pause_do_not_count(pipeline: Pipeline) -> None:
    await pipeline.fail(*[0.0] * 1_000, 0.5, 0.4)
    assert pipeline.submitted == []
    await pipeline.fail(*PAUSES)
    assert len(pipeline.submitted) == 1


async def test_executions_are_counted_apart(pipeline: Pipeline) -> None:
    await pipeline.fail(*PAUSES[:-1])
    await pipeline.fail(*PAUSES[:-1], execution_id=OTHER)
    assert pipeline.submitted == []


async def test_tries_that_lie_far_apart_are_forgotten(pipeline: Pipeline) -> None:
    await pipeline.fail(*PAUSES[:-1])
    await pipeline.fail(10 * 60 + 9)
    assert pipeline.submitted == []


async def test_a_quarantine_that_could_not_be_written_is_tried_again_after_a_pause(
    pipeline: Pipeline,
) -> None:
    def refused(work: Work) -> WorkResult:
        raise resource_exhausted(OVERLOADED, "too much is waiting")

    def failed(work: Work) -> WorkResult:
        raise RuntimeError("the database is gone")

    pipeline.result = refused
    await pipeline.fail(*PAUSES)
    pipeline.result = failed
    await pipeline.fail(1, 15)
    assert len(pipeline.submitted) == 2
    pipeline.result = executed
    await pipeline.fail(32)
    assert pipeline.submitted[-1] == CommandWork(ONE, QuarantineExecution("no plan", 7))
    assert len(pipeline.quarantines) == 0


async def test_an_execution_that_does_not_exist_is_forgotten(pipeline: Pipeline) -> None:
    def missing(work: Work) -> WorkResult:
        raise ExecutionNotFoundError(str(ONE))

    pipeline.result = missing
    await pipeline.fail(*PAUSES)
    assert len(pipeline.quarantines) == 0


async def test_the_number_of_executions_that_are_counted_is_bounded_and_none_starves(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_UNDECIDABLE_EXECUTIONS", 2)
    for pause in (0, *PAUSES):
        pipeline.seconds += pause
        for number in (1, 2, 3, 4):
            await pipeline.fail(execution_id=UUID(int=number))
            assert len(pipeline.quarantines) <= 2
    assert [work.execution_id for work in pipeline.submitted] == [UUID(int=1), UUID(int=2)]
    for pause in PAUSES:
        pipeline.seconds += pause
        for number in (3, 4):
            await pipeline.fail(execution_id=UUID(int=number))
    assert [work.execution_id for work in pipeline.submitted[2:]] == [UUID(int=3), UUID(int=4)]


async def test_the_log_says_what_was_quarantined_why_and_what_to_do(pipeline: Pipeline) -> None:
    with capture_logs() as lines:
        await pipeline.fail(*PAUSES, reason="no plan \ud800")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("execution_quarantined", "error")
    assert (line["execution_id"], line["workflow_id"]) == (str(ONE), "flow")
    assert (line["reason"], line["tries"]) == ("no plan ?", 5)
    assert "workflowctl release" in line["next_step"]


async def test_a_quarantine_that_changed_nothing_is_not_logged(pipeline: Pipeline) -> None:
    pipeline.result = lambda work: WorkResult(executed(work).execution, Effect.UNCHANGED)
    with capture_logs() as lines:
        await pipeline.fail(*PAUSES)
    assert lines == []
