"""Which workers a page holds, and where the next one begins."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from execution_orchestrator.application.ports.worker_board import BoardEntry, BoardKey, WorkerFacts
from execution_orchestrator.application.workers.worker_list import WorkerFilter, WorkerList
from workflowsystem.execution.v1 import worker_pb2 as pb

from tests.fakes.worker_board import FakeWorkerBoard

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DEFAULT = WorkerFilter("default")


@pytest.fixture
def board() -> FakeWorkerBoard:
    return FakeWorkerBoard()


async def write(board: FakeWorkerBoard, number: int, replica: str = "a", **fields: object) -> None:
    session_id = f"01900000-0000-7000-8000-{number:012d}"
    worker = pb.ConnectedWorker(worker_id=f"w{number}", session_id=session_id, **fields)
    key = BoardKey(worker.namespace or "default", session_id, worker.worker_id)
    facts = WorkerFacts(worker.SerializeToString(), pb.ConnectedWorker(credits=number).SerializeToString())
    await board.write(replica, {key: facts}, (), NOW, 30.0)


async def walk(
    board: FakeWorkerBoard, where: WorkerFilter = DEFAULT, limit: int = 100, **limits: int
) -> list[list[str]]:
    """Return the pages, as the names of their workers."""
    workers, pages, after = WorkerList(board, **limits), list[list[str]](), None
    while True:
        page = await workers.page(where, limit=limit, after=after)
        pages.append([each.worker_id for each in page.workers])
        after = page.next_after
        if after is None:
            return pages


async def test_the_workers_of_all_replicas_come_in_the_order_in_which_they_connected(
    board: FakeWorkerBoard,
) -> None:
    for number, replica in ((3, "a"), (1, "b"), (2, "a"), (4, "c")):
        await write(board, number, replica)

    page = await WorkerList(board).page(DEFAULT, limit=10, after=None)

    assert [(each.worker_id, each.replica, each.credits) for each in page.workers] == [
        ("w1", "b", 1),
        ("w2", "a", 2),
        ("w3", "a", 3),
        ("w4", "c", 4),
    ]
    assert await walk(board, limit=3) == [["w1", "w2", "w3"], ["w4"]]
    assert await walk(board, limit=4) == [["w1", "w2", "w3", "w4"]]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (DEFAULT, ["w1", "w2", "w3"]),
        (WorkerFilter("team-a"), ["w4"]),
        (WorkerFilter("default", task_type="mail.send"), ["w2"]),
        (WorkerFilter("default", queue="slow"), ["w3"]),
        (WorkerFilter("default", queue="slow", task_type="mail.send"), []),
        (WorkerFilter("default", worker_id="w1"), ["w1"]),
        (WorkerFilter("default", worker_id="w"), []),
    ],
)
async def test_a_filter_chooses_by_each_of_its_fields(
    board: FakeWorkerBoard, where: WorkerFilter, expected: list[str]
) -> None:
    await write(board, 1, task_types=["noop"], queues=["default"])
    await write(board, 2, task_types=["mail.send", "noop"], queues=["default"])
    await write(board, 3, task_types=["noop"], queues=["default", "slow"])
    await write(board, 4, namespace="team-a")

    assert await walk(board, where) == [expected]


async def test_a_page_ends_before_it_is_too_large_for_a_message(board: FakeWorkerBoard) -> None:
    for number in range(1, 4):
        await write(board, number, task_types=["x" * 1_000])
    await write(board, 4, task_types=["x" * 9_000])
    await write(board, 5)

    assert await walk(board, max_page_bytes=3_000) == [["w1", "w2"], ["w3"], ["w4"], ["w5"]]


async def test_a_page_looks_at_a_limited_number_of_workers_and_goes_on_after_them(
    board: FakeWorkerBoard,
) -> None:
    for number in range(1, 6):
        await write(board, number, task_types=["rare"] if number == 4 else [])
    rare = WorkerFilter("default", task_type="rare")

    assert await walk(board, rare, max_look=2) == [[], ["w4"], []]


async def test_a_worker_that_left_while_the_page_was_read_is_left_out(board: FakeWorkerBoard) -> None:
    for number in (1, 2, 3):
        await write(board, number)
    read = board.read

    async def read_late(entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        await board.write("a", {}, [entries[1].key], NOW, 30.0)
        return await read(entries)

    board.read = read_late  # type: ignore[method-assign]
    page = await WorkerList(board).page(DEFAULT, limit=10, after=None)
    assert ([each.worker_id for each in page.workers], page.next_after) == (["w1", "w3"], None)


async def test_a_page_begins_after_a_session_that_exists_no_more(board: FakeWorkerBoard) -> None:
    for number in (1, 3):
        await write(board, number)
    after = UUID("01900000-0000-7000-8000-000000000002")
    page = await WorkerList(board).page(DEFAULT, limit=10, after=after)

    assert [each.worker_id for each in page.workers] == ["w3"]
