"""Which task types this replica tells the others about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from execution_orchestrator.application.workers.live_task_types import LiveTaskTypes
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from testkit import eventually

from tests.fakes.task_type_board import FakeTaskTypeBoard


def session_of(*task_types: str) -> WorkerSession:
    worker = WorkerIdentity("w", "boot", "default", frozenset(task_types), frozenset({"default"}), 1)
    return WorkerSession(worker, lambda lease: None)


@asynccontextmanager
async def telling(live: LiveTaskTypes) -> AsyncIterator[None]:
    task = asyncio.create_task(live.run())
    yield
    task.cancel()
    await asyncio.wait([task])


def roster_of(session: WorkerSession) -> Roster:
    roster = Roster()
    roster.add(session)
    return roster


async def missing(live: LiveTaskTypes, *task_types: str) -> list[str]:
    return await live.missing("default", task_types)


async def test_a_worker_that_came_and_went_between_two_tellings_is_told_of() -> None:
    """So a client that leases with short unary calls is live all the time."""
    live = LiveTaskTypes(FakeTaskTypeBoard(), Roster())
    live.joined(session_of("orders.charge"))
    async with telling(live):
        await eventually(lambda: missing_is(live, []))


async def missing_is(live: LiveTaskTypes, expected: list[str]) -> bool:
    return await missing(live, "orders.charge") == expected


async def test_what_is_new_is_told_at_once_and_what_is_known_waits_for_its_turn() -> None:
    board = FakeTaskTypeBoard()
    live = LiveTaskTypes(board, roster_of(session_of("noop")), refresh_seconds=3600.0)

    async with telling(live):
        await eventually(lambda: board.offers == 1)
        live.joined(session_of("noop"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert board.offers == 1
        live.joined(session_of("orders.charge"))
        await eventually(lambda: missing_is(live, []))

        assert board.offers == 2


async def test_a_board_that_is_out_of_reach_is_told_when_it_is_back() -> None:
    board, session = FakeTaskTypeBoard(), session_of("orders.charge")
    board.down = True
    live = LiveTaskTypes(board, roster_of(session), refresh_seconds=0.01)
    async with telling(live):
        await eventually(lambda: board.offers > 3)
        assert await missing(live, "orders.charge") == ["orders.charge"]
        board.down = False
        await eventually(lambda: missing_is(live, []))


async def test_the_board_is_not_read_for_an_empty_list_of_types() -> None:
    board = FakeTaskTypeBoard()

    assert (
        await missing(
            LiveTaskTypes(board, Roster()),
        )
        == []
    )
    assert board.reads == 0
