"""Who waits is told of every change, once, and asks the database no more often than needed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from uuid import UUID

import grpc
import pytest
from execution_orchestrator.application.engine.work import ExecutionNotFoundError, RunNotStartedError
from execution_orchestrator.application.ports.reads import EventPage
from execution_orchestrator.application.watching.waiters import LOOK_SECONDS, Waiters
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.state_machine import ExecutionStatus
from service_kit.errors import DRAINING, ServiceError
from testkit import eventually

from tests.fakes.reads import ID, FakeReads

STARTED, DONE = EventType.TASK_STARTED, EventType.EXECUTION_COMPLETED


@pytest.fixture
def reads() -> FakeReads:
    return FakeReads()


@pytest.fixture
def look_seconds() -> float:
    return LOOK_SECONDS


@pytest.fixture
def waiters(reads: FakeReads, look_seconds: float) -> Waiters:
    return Waiters(reads, look_seconds=look_seconds)  # type: ignore[arg-type]


@pytest.fixture
async def looking(waiters: Waiters) -> AsyncIterator[None]:
    task = asyncio.create_task(waiters.run())
    yield
    task.cancel()
    await asyncio.wait([task])


def waiting(waiters: Waiters, timeout: float = 30) -> "asyncio.Task[Execution]":
    return asyncio.create_task(waiters.until_final("default", ID, timeout))


async def collect(waiters: Waiters, after: int, sequences: list[int]) -> None:
    async with aclosing(waiters.events("default", ID, after)) as pages:
        async for page in pages:
            sequences += [event.sequence for event in page]


async def test_a_final_execution_is_not_waited_for(reads: FakeReads, waiters: Waiters) -> None:
    reads.happen(DONE)

    assert (await waiters.until_final("default", ID, 30)).final
    assert reads.read_executions == 1


async def test_a_run_that_is_over_is_not_waited_for(reads: FakeReads, waiters: Waiters) -> None:
    reads.execution.run_number = 2
    answer = await waiters.until_final("default", ID, 30, run_number=1)

    assert (answer.final, answer.run_number, reads.read_executions) == (False, 2, 1)


async def test_a_run_that_the_execution_has_not_come_to_is_refused(
    reads: FakeReads, waiters: Waiters
) -> None:
    for final in (False, True):
        reads.execution.final = final
        with pytest.raises(RunNotStartedError, match="is in run 1 and has not reached run 2"):
            await waiters.until_final("default", ID, 30, run_number=2)


async def test_a_wait_ends_with_its_run_although_the_execution_is_run_again_at_once(
    reads: FakeReads, waiters: Waiters
) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    ring = reads.happen(DONE)
    reads.execution = reads.execution.copy()
    reads.execution.run_number, reads.execution.final = 2, False
    reads.execution.status = ExecutionStatus.RUNNING
    waiters.ring([ring])

    assert (await task).run_number == 2


async def test_a_ring_of_the_end_wakes_who_waits_for_it(reads: FakeReads, waiters: Waiters) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    waiters.ring([reads.happen(DONE)])

    assert (await task).status is ExecutionStatus.COMPLETED
    assert reads.read_executions == 2


async def test_a_waiter_gets_what_this_replica_committed_without_a_read(
    reads: FakeReads, waiters: Waiters
) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    ring = reads.happen(DONE)
    waiters.ring([ring], {ID: reads.execution})

    assert await task is reads.execution
    assert reads.read_executions == 1


async def test_the_steps_before_the_end_wake_nobody_who_waits_for_it(
    reads: FakeReads, waiters: Waiters
) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    for _ in range(3):
        waiters.ring([reads.happen(STARTED)], {ID: reads.execution})
        await asyncio.sleep(0)
    waiters.ring([reads.happen(DONE)])
    await task

    assert reads.read_executions == 2


async def test_after_the_timeout_the_execution_is_told_as_it_is(reads: FakeReads, waiters: Waiters) -> None:
    reads.happen(STARTED)
    execution = await waiters.until_final("default", ID, 0.01)

    assert (execution.status, execution.final) == (ExecutionStatus.RUNNING, False)
    assert not (await waiters.until_final("default", ID, 0)).final


async def test_what_does_not_exist_is_not_waited_for(waiters: Waiters) -> None:
    with pytest.raises(ExecutionNotFoundError):
        await waiters.until_final("default", UUID(int=9), 30)
    with pytest.raises(ExecutionNotFoundError):
        await waiters.until_final("team-a", ID, 30)
    with pytest.raises(ExecutionNotFoundError):
        await anext(waiters.events("team-a", ID, 0))


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("look_seconds", [0.005], ids=["often"])
async def test_a_lost_ring_is_made_up_for(reads: FakeReads, waiters: Waiters) -> None:
    sequences: list[int] = []
    tasks = [waiting(waiters), asyncio.create_task(collect(waiters, 0, sequences))]
    await eventually(lambda: reads.read_executions >= 1 and reads.read_events == 1)
    reads.down = True
    reads.happen(STARTED, DONE)
    looks = reads.looks
    await eventually(lambda: reads.looks > looks)
    reads.down = False

    await asyncio.wait_for(asyncio.gather(*tasks), 5)

    assert sequences == [1, 2]


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("look_seconds", [0.005], ids=["often"])
async def test_an_execution_that_nobody_waits_for_is_not_looked_up(
    reads: FakeReads, waiters: Waiters
) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.looks > 0)
    waiters.ring([reads.happen(DONE)])
    await task
    looks = reads.looks
    await asyncio.sleep(0.03)

    assert reads.looks <= looks + 1


async def test_a_stream_gives_every_event_once_and_ends_after_the_last(
    reads: FakeReads, waiters: Waiters
) -> None:
    reads.happen(STARTED, STARTED)
    sequences: list[int] = []
    task = asyncio.create_task(collect(waiters, 1, sequences))
    await eventually(lambda: sequences == [2])
    waiters.ring([reads.happen(STARTED)])
    waiters.ring([reads.ring])  # a double ring is no double event
    await eventually(lambda: sequences == [2, 3])
    waiters.ring([reads.happen(STARTED, DONE)])

    await task

    assert sequences == [2, 3, 4, 5]
    assert reads.read_events == 3


async def test_a_ring_that_comes_while_the_events_are_read_is_not_lost(
    reads: FakeReads, waiters: Waiters
) -> None:
    reads.happen(STARTED)
    sequences: list[int] = []
    plain = reads.events_after

    async def overtaken(keys: Sequence[tuple[str, UUID, int]], limit: int) -> list[EventPage]:
        pages = await plain(keys, limit)
        if len(reads.events) == 1:
            waiters.ring([reads.happen(DONE)])  # committed after the snapshot, rung before the answer
        return pages

    reads.events_after = overtaken  # type: ignore[method-assign]
    await asyncio.wait_for(collect(waiters, 0, sequences), 5)
    assert sequences == [1, 2]


async def test_an_end_between_the_two_reads_of_a_stream_is_told(reads: FakeReads, waiters: Waiters) -> None:
    plain = reads.get_many

    async def overtaken(keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        if not reads.events:
            reads.happen(STARTED, DONE)  # after the stream saw that there are no events
        return await plain(keys)

    reads.get_many = overtaken  # type: ignore[method-assign]
    sequences: list[int] = []
    await asyncio.wait_for(collect(waiters, 0, sequences), 5)
    assert sequences == [1, 2]


async def test_a_stream_from_beyond_the_last_event_of_a_final_execution_ends(
    reads: FakeReads, waiters: Waiters
) -> None:
    reads.happen(STARTED, DONE)
    sequences: list[int] = []
    await asyncio.wait_for(collect(waiters, 2, sequences), 5)

    assert sequences == []


async def test_many_streams_are_read_with_one_statement(reads: FakeReads, waiters: Waiters) -> None:
    streams = [[] for _ in range(50)]  # type: list[list[int]]
    tasks = [asyncio.create_task(collect(waiters, 0, sequences)) for sequences in streams]
    await eventually(lambda: reads.read_events >= 1)
    await asyncio.sleep(0)
    before = reads.read_events
    waiters.ring([reads.happen(STARTED, DONE)])

    await asyncio.gather(*tasks)

    assert streams == [[1, 2]] * 50
    assert reads.read_events == before + 1


async def test_a_replica_that_drains_sends_everybody_elsewhere(reads: FakeReads, waiters: Waiters) -> None:
    sequences: list[int] = []
    tasks = [waiting(waiters), asyncio.create_task(collect(waiters, 0, sequences))]
    await eventually(lambda: reads.read_executions >= 1 and reads.read_events == 1)
    await waiters.drain()
    for task in tasks:
        with pytest.raises(ServiceError) as raised:
            await asyncio.wait_for(task, 5)
        assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, DRAINING)


async def test_missed_rings_make_everybody_look_again(reads: FakeReads, waiters: Waiters) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    reads.happen(DONE)
    waiters.ring_all()

    assert (await asyncio.wait_for(task, 5)).final


async def test_a_caller_that_goes_away_is_forgotten(reads: FakeReads, waiters: Waiters) -> None:
    task = waiting(waiters)
    await eventually(lambda: reads.read_executions == 1)
    task.cancel()
    await asyncio.wait([task])
    stream = asyncio.create_task(collect(waiters, 0, []))
    await eventually(lambda: reads.read_events == 1)
    stream.cancel()

    await asyncio.wait([stream])

    assert (waiters._waiting, waiters._looked_at) == ({}, {})


async def test_a_ring_of_another_namespace_gives_nothing_away(reads: FakeReads, waiters: Waiters) -> None:
    """It comes while the first read is under way, with the execution that this replica has committed."""
    plain = reads.get_many

    async def overtaken(keys: Sequence[tuple[str, UUID]]) -> list[Execution | None]:
        waiters.ring([reads.happen(DONE)], {ID: reads.execution})
        return await plain(keys)

    reads.get_many = overtaken  # type: ignore[method-assign]
    with pytest.raises(ExecutionNotFoundError):
        await asyncio.wait_for(waiters.until_final("team-a", ID, 30), 30)
