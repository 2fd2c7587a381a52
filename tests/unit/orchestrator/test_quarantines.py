"""How the tries that cannot be decided are counted, and when they lead to a quarantine."""

import asyncio
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

from tests.fakes.pipeline import FakePipeline

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


class Bench:
    """The quarantines, with a pipeline that gives the result that a test chooses, and a clock."""

    def __init__(self, max_executions: int = quarantine.MAX_UNDECIDABLE_EXECUTIONS) -> None:
        self.pipeline = FakePipeline(executed)
        self.seconds = 0.0
        self.quarantines = Quarantines(
            self.pipeline.submit, lambda: self.seconds, max_executions=max_executions
        )

    @property
    def submitted(self) -> list[Work]:
        return self.pipeline.submitted

    async def fail(self, *pauses: float, execution_id: UUID = ONE, reason: str = "no plan") -> None:
        """A try, and one more after each of the pauses."""
        self.quarantines.note(execution_id, reason)
        for seconds in pauses:
            self.seconds += seconds
            self.quarantines.note(execution_id, reason)
        await asyncio.sleep(0)  # the callbacks of the results run


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_last_of_a_bounded_number_of_tries_quarantines_the_execution(bench: Bench) -> None:
    await bench.fail(*PAUSES[:-1])
    assert bench.submitted == []
    await bench.fail(PAUSES[-1], reason="still no plan")

    assert bench.submitted == [CommandWork(ONE, QuarantineExecution("still no plan", 5))]
    assert len(bench.quarantines) == 0, "what is quarantined is not counted any more"


async def test_tries_within_the_pause_do_not_count(bench: Bench) -> None:
    await bench.fail(*[0.0] * 1_000, 0.5, 0.4)
    assert bench.submitted == []
    await bench.fail(*PAUSES)

    assert len(bench.submitted) == 1


async def test_executions_are_counted_apart(bench: Bench) -> None:
    await bench.fail(*PAUSES[:-1])
    await bench.fail(*PAUSES[:-1], execution_id=OTHER)

    assert bench.submitted == []


async def test_tries_that_lie_far_apart_are_forgotten(bench: Bench) -> None:
    await bench.fail(*PAUSES[:-1])
    await bench.fail(10 * 60 + 9)

    assert bench.submitted == []


async def test_a_quarantine_that_could_not_be_written_is_tried_again_after_a_pause(
    bench: Bench,
) -> None:
    def refused(work: Work) -> WorkResult:
        raise resource_exhausted(OVERLOADED, "too much is waiting")

    def failed(work: Work) -> WorkResult:
        raise RuntimeError("the database is gone")

    bench.pipeline.result = refused
    await bench.fail(*PAUSES)
    bench.pipeline.result = failed
    await bench.fail(1, 15)
    assert len(bench.submitted) == 2
    bench.pipeline.result = executed
    await bench.fail(32)
    assert bench.submitted[-1] == CommandWork(ONE, QuarantineExecution("no plan", 7))
    assert len(bench.quarantines) == 0


async def test_an_execution_that_does_not_exist_is_forgotten(bench: Bench) -> None:
    def missing(work: Work) -> WorkResult:
        raise ExecutionNotFoundError(str(ONE))

    bench.pipeline.result = missing
    await bench.fail(*PAUSES)
    assert len(bench.quarantines) == 0


async def test_the_number_of_executions_that_are_counted_is_bounded_and_none_starves() -> None:
    bench = Bench(max_executions=2)
    for pause in (0, *PAUSES):
        bench.seconds += pause
        for number in (1, 2, 3, 4):
            await bench.fail(execution_id=UUID(int=number))
            assert len(bench.quarantines) <= 2
    assert [work.execution_id for work in bench.submitted] == [UUID(int=1), UUID(int=2)]

    for pause in PAUSES:
        bench.seconds += pause
        for number in (3, 4):
            await bench.fail(execution_id=UUID(int=number))

    assert [work.execution_id for work in bench.submitted[2:]] == [UUID(int=3), UUID(int=4)]


async def test_the_log_says_what_was_quarantined_why_and_what_to_do(bench: Bench) -> None:
    with capture_logs() as lines:
        await bench.fail(*PAUSES, reason="no plan \ud800")
    (line,) = lines

    assert (line["event"], line["log_level"]) == ("execution_quarantined", "error")
    assert (line["execution_id"], line["workflow_id"]) == (str(ONE), "flow")
    assert (line["reason"], line["tries"]) == ("no plan ?", 5)
    assert "workflowctl release" in line["next_step"]


async def test_a_quarantine_that_changed_nothing_is_not_logged(bench: Bench) -> None:
    bench.pipeline.result = lambda work: WorkResult(executed(work).execution, Effect.UNCHANGED)
    with capture_logs() as lines:
        await bench.fail(*PAUSES)

    assert lines == []
