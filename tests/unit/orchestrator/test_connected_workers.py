"""A replica writes the facts of its workers to the board: all of them once, then what changed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.worker_board import BoardKey, WorkerFacts
from execution_orchestrator.application.workers import connected_workers
from execution_orchestrator.application.workers.connected_workers import (
    USUAL_LIMITS,
    BoardLimits,
    ConnectedWorkers,
)
from execution_orchestrator.application.workers.session import WorkerIdentity, WorkerSession
from execution_orchestrator.application.workers.worker_list import WorkerFilter, WorkerList
from execution_orchestrator.domain.task import NO_ITEM, Claim, Lease, TaskKey
from testkit import FakeClock
from workflowsystem.execution.v1 import worker_pb2 as pb

from tests.fakes.worker_board import FakeWorkerBoard

EVERYONE = WorkerFilter("default")


class Replica:
    """A replica with its clock and a board."""

    def __init__(
        self,
        board: FakeWorkerBoard,
        clock: FakeClock,
        name: str = "host/1",
        limits: BoardLimits = USUAL_LIMITS,
    ) -> None:
        self.clock = clock
        self.board = board
        self.connected = ConnectedWorkers(board, clock, name, limits)
        self._joined = 0

    def join(self, worker_id: str = "w", **fields: object) -> WorkerSession:
        self._joined += 1
        given = identity(worker_id, **fields)
        session = WorkerSession(given, lambda claim: None, monotonic=self.clock.monotonic)
        session.last_message_time = self.clock.now()
        self.connected.joined(session, session_id(self._joined), "ipv4:10.0.0.7:51312")
        return session

    async def listed(self, where: WorkerFilter = EVERYONE) -> list[pb.ConnectedWorker]:
        return (await WorkerList(self.board).page(where, limit=1_000, after=None)).workers

    async def names(self) -> list[str]:
        return [each.worker_id for each in await self.listed()]


def session_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def identity(worker_id: str = "w", types: tuple[str, ...] = ("noop",), **fields: object) -> WorkerIdentity:
    given: dict[str, object] = {"namespace": "default", "queues": frozenset({"default"}), "slots": 4}
    return WorkerIdentity(worker_id, "secret-boot", task_types=frozenset(types), **(given | fields))  # type: ignore[arg-type]


def lease(number: int, item: int = NO_ITEM) -> Lease:
    key = TaskKey("charge", item)
    spans = timedelta(minutes=5), None
    return Lease(
        UUID(int=number), "default", "orders", key, 3, 2, "orders.charge", "{}", *spans, b"secret-token"
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def board(clock: FakeClock) -> FakeWorkerBoard:
    return FakeWorkerBoard(clock)


@pytest.fixture
def limits() -> BoardLimits:
    return BoardLimits()


@pytest.fixture
def replica(board: FakeWorkerBoard, clock: FakeClock, limits: BoardLimits) -> Replica:
    return Replica(board, clock, limits=limits)


async def test_a_worker_is_shown_with_all_that_it_said_and_nothing_that_could_take_its_session(
    replica: Replica, board: FakeWorkerBoard
) -> None:
    connect_time = replica.clock.now()
    session = replica.join(
        "pod-7",
        types=("orders.charge", "noop"),
        queues=frozenset({"slow", "default"}),
        labels=(("zone", "b"),),
        sdk="python/1.2.3",
    )
    session.grant(4)
    session.reserve()
    session.deliver(lease(1, item=9))
    await replica.clock.advance(2.0)
    await replica.connected.write()
    await replica.clock.advance(1.0)
    (worker,) = await replica.listed()
    assert (worker.namespace, worker.worker_id, worker.session_id) == ("default", "pod-7", session_id(1))
    assert (list(worker.task_types), list(worker.queues)) == (["noop", "orders.charge"], ["default", "slow"])
    assert (dict(worker.labels), worker.sdk) == ({"zone": "b"}, "python/1.2.3")
    assert (worker.peer, worker.replica) == ("ipv4:10.0.0.7:51312", "host/1")
    assert worker.protocol == pb.WORKER_PROTOCOL_SESSION
    assert (worker.slots, worker.busy_slots, worker.credits, worker.draining) == (4, 1, 3, False)
    (task,) = worker.tasks
    assert (task.execution_id, task.task_id, task.item) == (str(UUID(int=1)), "charge", 9)
    assert (task.workflow_id, task.task_type, task.attempt) == ("orders", "orders.charge", 2)
    assert datetime_of(task.lease_time) == datetime_of(worker.connect_time) == connect_time
    assert datetime_of(worker.last_message_time) == connect_time
    assert datetime_of(worker.update_time) == connect_time + timedelta(seconds=2)

    shown = str(board.written) + str(worker)

    assert "secret" not in shown


def datetime_of(time: object) -> datetime:
    return time.ToDatetime(tzinfo=UTC)  # type: ignore[attr-defined, no-any-return]


async def test_only_what_changed_is_written_again(replica: Replica, board: FakeWorkerBoard) -> None:
    idle, busy = replica.join("idle"), replica.join("busy")
    busy.grant(2)
    busy.reserve()
    busy.deliver(lease(1))
    await replica.connected.write()
    board.written.clear()
    await replica.clock.advance(2.5)
    await replica.connected.write()
    assert board.written == []  # not even the task that is held on
    busy.reserve()
    busy.deliver(lease(2))

    await replica.connected.write()

    assert [[key.worker_id for key in written] for written in board.written] == [["busy"]]
    assert [facts.identity for written in board.written for facts in written.values()] == [None]
    assert [each.busy_slots for each in await replica.listed()] == [0, 2]
    assert idle.held_count == 0


async def test_a_result_frees_the_slot_and_a_draining_worker_says_so(replica: Replica) -> None:
    session = replica.join()
    session.grant(1)
    session.reserve()
    session.deliver(lease(1))
    await replica.connected.write()
    assert [each.busy_slots for each in await replica.listed()] == [1]
    first = lease(1)
    session.let_go(Claim(first.execution_id, first.key, first.epoch, first.token))
    session.stop_taking()
    await replica.connected.write()

    (worker,) = await replica.listed()

    assert (worker.busy_slots, worker.draining, len(worker.tasks)) == (0, True, 0)


async def test_a_claim_that_the_worker_brought_from_another_replica_is_shown_by_its_name(
    replica: Replica,
) -> None:
    session = replica.join()
    session.hold(Claim(UUID(int=5), TaskKey("charge", NO_ITEM), 3, b"secret-token"))
    await replica.connected.write()
    ((task,),) = [list(each.tasks) for each in await replica.listed()]

    assert (task.execution_id, task.task_id, task.HasField("item")) == (str(UUID(int=5)), "charge", False)
    assert (task.workflow_id, task.attempt, task.HasField("lease_time")) == ("", 0, False)


@pytest.mark.parametrize("limits", [BoardLimits(tasks_written=4)], ids=["tasks_written"])
async def test_of_many_tasks_those_that_are_held_longest_are_shown(replica: Replica) -> None:
    many, few = replica.join("many", slots=10), replica.join("few")
    first = lease(1, item=0)
    for session, leases in ((many, [first, lease(1, item=1), lease(2), lease(3)]), (few, [lease(4)])):
        session.grant(10)
        for each in leases:
            session.reserve()
            session.deliver(each)
            await replica.clock.advance(1.0)
    many.let_go(Claim(first.execution_id, first.key, first.epoch, first.token))
    many.reserve()
    many.deliver(first)  # the execution is the oldest in its hands, but this lease is the newest
    await replica.connected.write()

    written = {each.worker_id: each for each in await replica.listed()}

    assert [(task.execution_id[-1], task.item) for task in written["many"].tasks] == [("1", 1), ("2", 0)]
    assert (written["many"].busy_slots, len(written["few"].tasks)) == (4, 1)


async def test_a_session_that_ended_leaves_the_list(replica: Replica) -> None:
    session = replica.join("leaves")
    replica.join("stays")
    await replica.connected.write()
    assert await replica.names() == ["leaves", "stays"]
    replica.connected.left(session)
    await replica.connected.write()

    assert await replica.names() == ["stays"]


async def test_a_replica_that_dies_leaves_the_list_within_the_trust_window(
    board: FakeWorkerBoard, clock: FakeClock
) -> None:
    dies, lives = Replica(board, clock, "dies"), Replica(board, clock, "lives")
    dies.join("a")
    lives.join("b")
    await dies.connected.write()
    await clock.advance(connected_workers.TRUST_SECONDS - 1)
    await lives.connected.write()
    assert sorted(await lives.names()) == ["a", "b"]

    await clock.advance(1.5)

    assert await lives.names() == ["b"]


async def test_a_replica_that_stops_takes_its_workers_off_at_once(
    replica: Replica, board: FakeWorkerBoard
) -> None:
    replica.join()
    await replica.connected.write()
    await replica.connected.leave()
    assert await replica.names() == []
    board.down = True
    await replica.connected.leave()  # harmless


async def test_after_a_wipe_everything_is_written_again(replica: Replica, board: FakeWorkerBoard) -> None:
    replica.join()
    await replica.connected.write()
    board.wipe()
    assert await replica.names() == []
    await replica.connected.write()

    assert await replica.names() == ["w"]


@pytest.mark.parametrize("limits", [BoardLimits(entries_at_once=1)], ids=["entries_at_once"])
async def test_a_wipe_between_two_parts_of_a_refresh_is_noticed(
    replica: Replica, board: FakeWorkerBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [replica.join("one"), replica.join("two")]
    await replica.connected.write()
    for session in sessions:
        session.grant(1)
    write, calls = board.write, 0

    async def wiped_before_the_last(*arguments: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 3:  # the sign of life, the first worker, and now the second one
            board.wipe()
        return await write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(board, "write", wiped_before_the_last)
    await replica.connected.write()
    assert await replica.names() == ["one", "two"]


async def test_a_worker_that_left_while_redis_was_away_is_no_ghost_when_it_is_back(
    replica: Replica, board: FakeWorkerBoard
) -> None:
    session = replica.join("left")
    replica.join("stayed")
    await replica.connected.write()
    board.down = True
    replica.connected.left(session)
    await replica.connected.write()
    board.down = False

    await replica.connected.write()

    assert await replica.names() == ["stayed"]


async def test_what_redis_did_not_take_in_the_middle_of_a_refresh_is_written_again(
    replica: Replica, board: FakeWorkerBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = replica.join()
    await replica.connected.write()
    session.grant(3)
    write = board.write

    async def silent_after_the_sign_of_life(
        name: str, written: Mapping[BoardKey, WorkerFacts], *rest: object
    ) -> bool:
        if written:
            raise HintsUnavailableError("Redis does not answer")
        return await write(name, written, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(board, "write", silent_after_the_sign_of_life)
    await replica.connected.write()
    monkeypatch.setattr(board, "write", write)
    assert [each.credits for each in await replica.listed()] == [0]
    await replica.connected.write()
    assert [each.credits for each in await replica.listed()] == [3]


@pytest.mark.parametrize("limits", [BoardLimits(bytes_at_once=1_000)], ids=["bytes_at_once"])
async def test_large_facts_are_written_in_several_messages(replica: Replica, board: FakeWorkerBoard) -> None:
    for number in range(4):
        replica.join(f"w{number}", types=tuple(f"type{number:0120d}" for number in range(5)))
    await replica.connected.write()

    assert [len(written) for written in board.written] == [2, 2]
    assert len(await replica.names()) == 4


async def test_a_worker_that_calls_is_listed_until_the_trust_window_after_its_last_call_is_over(
    replica: Replica,
) -> None:
    connected, clock = replica.connected, replica.clock
    first = connected.called(identity("unary"), session_id(1), "peer")
    await clock.advance(60.0)  # it waits for a task all the time
    await connected.write()
    connected.answered(first)
    second = connected.called(identity("unary"), session_id(2), "peer")
    connected.answered(second)
    await clock.advance(connected_workers.TRUST_SECONDS - 0.5)
    await connected.write()
    (worker,) = await replica.listed()
    assert (worker.session_id, worker.protocol) == (session_id(1), pb.WORKER_PROTOCOL_UNARY)
    assert (worker.slots, worker.HasField("busy_slots"), worker.credits) == (4, False, 0)
    assert datetime_of(worker.last_message_time) - datetime_of(worker.connect_time) == timedelta(minutes=1)
    await clock.advance(1.0)

    await connected.write()

    assert await replica.names() == []


@pytest.mark.parametrize("limits", [BoardLimits(unary_workers=2)], ids=["unary_workers"])
async def test_workers_without_a_session_are_kept_up_to_a_limit(replica: Replica) -> None:
    for number in range(3):
        call = replica.connected.called(identity(f"u{number}"), session_id(number), "peer")
        replica.connected.answered(call)
    await replica.connected.write()

    assert await replica.names() == ["u1", "u2"]
