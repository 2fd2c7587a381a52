"""Many who wait are looked up in parts, and read with statements that have limits."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from execution_orchestrator.application.engine.work import ExecutionNotFoundError
from execution_orchestrator.application.watching import waiters as waiters_module
from execution_orchestrator.application.watching.waiters import Waiter, Waiters
from execution_orchestrator.domain.execution import Execution
from testkit import eventually

from tests.fakes.reads import ID, FakeReads
from tests.unit.orchestrator.test_waiters import DONE, waiting


@pytest.fixture
def reads() -> FakeReads:
    return FakeReads()


@pytest.fixture
def waiters(reads: FakeReads) -> Waiters:
    return Waiters(reads)


async def test_of_many_executions_a_part_is_looked_up_at_a_time_and_each_of_them_in_turn(
    reads: FakeReads,
) -> None:
    waiters = Waiters(reads, look_seconds=0.0, max_look=3)  # type: ignore[arg-type]
    ids = [UUID(int=100 + number) for number in range(10)]
    for id_ in ids:
        waiters._enter(id_, Waiter(0, for_the_end=True))
    looking = asyncio.create_task(waiters.run())
    await eventually(lambda: len(reads.looked_at) >= 8)
    looking.cancel()
    await asyncio.wait([looking])
    in_order = [id_ for part in reads.looked_at for id_ in part]

    assert max(map(len, reads.looked_at)) == 3
    assert in_order[:20] == ids * 2


async def test_nobody_is_looked_up_before_a_second_has_passed(reads: FakeReads, waiters: Waiters) -> None:
    waiters._enter(ID, Waiter(0, for_the_end=True))
    assert waiters._next_to_look_at() == []
    waiters._looked_at[ID] -= waiters_module.LOOK_SECONDS

    assert waiters._next_to_look_at() == [ID]
    assert waiters._next_to_look_at() == []


async def test_an_execution_that_did_not_fit_into_the_answer_is_asked_for_again(
    reads: FakeReads, waiters: Waiters
) -> None:
    reads.happen(DONE)
    plain = reads.get_many
    asked: list[int] = []

    async def first_only(keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        asked.append(len(keys))
        return (await plain(keys))[:1]

    reads.get_many = first_only  # type: ignore[method-assign]
    done = await asyncio.wait_for(asyncio.gather(*(waiting(waiters) for _ in range(4))), 30)
    assert [execution.final for execution in done] == [True] * 4
    assert asked == [4, 3, 2, 1]
    with pytest.raises(ExecutionNotFoundError):
        await waiters.until_final("default", UUID(int=9), 30)


async def test_a_statement_reads_for_a_limited_number_of_callers(reads: FakeReads, waiters: Waiters) -> None:
    reads.happen(DONE)
    plain = reads.get_many
    asked: list[int] = []

    async def counted(keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        asked.append(len(keys))
        return await plain(keys)

    reads.get_many = counted  # type: ignore[method-assign]
    await asyncio.gather(*(waiting(waiters) for _ in range(300)))
    assert sum(asked) == 300
    assert max(asked) == waiters_module.MAX_READ_KEYS
