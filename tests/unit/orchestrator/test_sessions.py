"""The session of a worker without its stream: credits, claims, and what is handed back."""

import asyncio
from datetime import timedelta
from uuid import UUID

from execution_orchestrator.application.workers.outbox import (
    Cancel,
    CancelReason,
    HeartbeatAck,
    ReportStatus,
)
from execution_orchestrator.application.workers.reconnects import NAMED_WITHIN, Reconnects
from execution_orchestrator.application.workers.session import (
    MAX_UNSENT_ITEMS,
    MAX_UNSENT_LEASE_BYTES,
    WorkerIdentity,
    WorkerSession,
)
from execution_orchestrator.domain.task import Claim, Lease, TaskKey
from service_kit.errors import ServiceError
from testkit import eventually

TTL_SECONDS = 30.0


class Desk:
    """Makes sessions, and keeps what they hand back."""

    def __init__(self) -> None:
        self.handed_back: list[Claim] = []

    def session(self, *, boot_id: str = "boot", slots: int = 10, namespace: str = "default") -> WorkerSession:
        worker = WorkerIdentity("w", boot_id, namespace, frozenset({"noop"}), frozenset({"default"}), slots)
        return WorkerSession(worker, self.handed_back.append)


def lease(number: int = 1, input_: str = "null") -> Lease:
    key = TaskKey("only")
    span = timedelta(seconds=60)
    return Lease(UUID(int=number), "default", "flow", key, 1, 1, "noop", input_, span, None, bytes(16))


def delivered(session: WorkerSession, *leases: Lease) -> None:
    for each in leases:
        session.reserve()
        session.deliver(each)


def accepts(session: WorkerSession) -> bool:
    return session.accepts("default", "noop", "default")


def test_credits_never_pass_the_workers_slots_however_often_they_are_granted() -> None:
    session = Desk().session(slots=10)
    for _ in range(1_000):
        session.grant(10_000)

    assert session.credits == 10


def test_a_lease_that_is_committed_for_a_closed_session_is_handed_back() -> None:
    desk = Desk()
    session = desk.session()
    session.grant(1)
    session.reserve()
    session.close()
    session.deliver(lease())

    assert desk.handed_back == [lease().claim]
    assert session.held_of([lease().execution_id]) == []


def test_leases_that_were_not_sent_are_handed_back_when_the_session_closes() -> None:
    desk = Desk()
    session = desk.session()
    session.grant(2)
    delivered(session, lease(1), lease(2))
    session.close()
    session.close()

    assert desk.handed_back == [lease(1).claim, lease(2).claim]


async def test_leases_that_were_sent_are_not_handed_back_when_the_session_closes() -> None:
    desk = Desk()
    session = desk.session()
    session.grant(1)
    delivered(session, lease())
    await session.next_outbox()
    session.close()

    assert desk.handed_back == []
    assert session.held_of([lease().execution_id]) == [lease().claim]


def test_a_stale_heartbeat_ends_what_the_session_holds() -> None:
    session = Desk().session()
    session.hold(lease().claim)
    session.acknowledge_heartbeats(HeartbeatAck(1, [lease().claim]))

    assert session.held_of([lease().execution_id]) == []


def test_a_revoked_claim_is_not_held_and_a_cancelled_one_is() -> None:
    session = Desk().session()
    for reason, held in ((CancelReason.CANCEL_REQUESTED, 1), (CancelReason.REVOKED, 0)):
        session.hold(lease().claim)
        session.cancel([Cancel(lease().claim, reason)])
        assert len(session.held_of([lease().execution_id])) == held


async def test_a_session_with_much_to_send_takes_no_lease_until_it_is_sent() -> None:
    """Credits that come meanwhile count later."""
    session = Desk().session()
    session.grant(5)
    large = lease(1, "x" * (MAX_UNSENT_LEASE_BYTES + 1))
    delivered(session, large)
    assert not accepts(session)
    session.grant(2)
    assert not accepts(session)
    outbox = await session.next_outbox()
    assert not accepts(session)  # taken, and not yet written

    session.sent(outbox.leases)

    assert accepts(session)
    assert session.credits == 6


def test_a_session_that_is_not_read_ends_with_a_status_that_says_so() -> None:
    session = Desk().session()
    for number in range(MAX_UNSENT_ITEMS + 1):
        session.acknowledge(number, ReportStatus.STALE)

    assert session.closed
    assert isinstance(session.failure, ServiceError)
    assert session.failure.reason == "SESSION_NOT_READ"


def test_the_first_failure_of_a_session_stands_and_a_closed_one_does_not_fail() -> None:
    session, closed = Desk().session(), Desk().session()
    session.fail(ValueError("first"))
    session.fail(ValueError("second"))
    assert str(session.failure) == "first"
    closed.close()
    closed.fail(ValueError("late"))

    assert closed.failure is None


async def test_a_newer_session_of_a_boot_replaces_the_older_one_and_takes_over_its_claims() -> None:
    desk, reconnects = Desk(), Reconnects(TTL_SECONDS)
    older, newer = desk.session(), desk.session()
    reconnects.begin(older)
    older.grant(5)
    delivered(older, lease(1))
    await older.next_outbox()
    delivered(older, lease(2))  # not sent

    reconnects.begin(newer)

    assert older.closed
    assert isinstance(older.failure, ServiceError)
    assert older.failure.reason == "SESSION_REPLACED"
    assert desk.handed_back == [lease(2).claim]
    assert newer.held_of([lease(1).execution_id]) == [lease(1).claim]
    assert older.held_of([lease(1).execution_id]) == []


def test_sessions_of_other_boots_and_namespaces_are_left_alone() -> None:
    desk, reconnects = Desk(), Reconnects(TTL_SECONDS)
    sessions = [desk.session(), desk.session(boot_id="other"), desk.session(namespace="other")]
    for session in sessions:
        reconnects.begin(session)

    assert not any(session.closed for session in sessions)


async def test_a_session_takes_over_from_one_that_ended_before_for_one_ttl() -> None:
    now = 0.0
    desk, reconnects = Desk(), Reconnects(TTL_SECONDS, lambda: now)
    for wait, held in ((TTL_SECONDS - 1, 1), (TTL_SECONDS + 1, 0)):
        older, newer = desk.session(), desk.session()
        reconnects.begin(older)
        older.grant(1)
        delivered(older, lease())
        await older.next_outbox()
        older.close()
        reconnects.end(older)
        now += wait
        reconnects.begin(newer)
        assert len(newer.held_of([lease().execution_id])) == held
        reconnects.end(newer)
        now += 2 * TTL_SECONDS

    reconnects.begin(desk.session(boot_id="another"))

    assert len(reconnects) == 1  # what has ended long ago is forgotten


async def test_what_the_worker_does_not_name_on_its_next_session_is_handed_back() -> None:
    """Three leases went out last on the old session. One is renewed, one reported, and one was lost on its
    way.
    """
    desk = Desk()
    older, newer = desk.session(), desk.session()
    older.grant(3)
    delivered(older, lease(1), lease(2), lease(3))
    await older.next_outbox()
    older.close()
    newer.take_over(older, 0.01)
    newer.hold(lease(1).claim)
    newer.settle(lease(2).claim, "reference", ReportStatus.RECORDED)

    await eventually(lambda: desk.handed_back == [lease(3).claim])

    assert newer.held_of([lease(1).execution_id]) == [lease(1).claim]


async def test_what_a_heartbeat_named_before_is_not_handed_back() -> None:
    desk = Desk()
    older, newer = desk.session(), desk.session()
    older.grant(2)
    delivered(older, lease(1), lease(2))
    await older.next_outbox()
    older.hold(lease(1).claim)
    older.close()
    newer.take_over(older, 0.01)

    await eventually(lambda: desk.handed_back == [lease(2).claim])


async def test_a_session_that_broke_before_the_worker_could_name_anything_passes_the_question_on() -> None:
    desk = Desk()
    first, second, third = (desk.session() for _ in range(3))
    first.grant(1)
    delivered(first, lease())
    await first.next_outbox()
    first.close()
    second.take_over(first, 0.01)
    second.close()
    third.take_over(second, 0.02)
    await eventually(lambda: desk.handed_back == [lease().claim])

    await asyncio.sleep(0)

    assert desk.handed_back == [lease().claim]


def test_the_worker_has_the_time_of_two_heartbeats_to_name_what_it_holds() -> None:
    """And the lease has not expired by then, so that nobody is charged."""
    assert 1 / 3 < NAMED_WITHIN < 1


async def test_a_result_is_answered_together_with_the_leases_that_follow_from_it() -> None:
    session = Desk().session()
    session.grant(1)
    delivered(session, lease(1))
    await session.next_outbox()
    session.grant(1)
    session.reserve()

    session.settle(lease(1).claim, "reference", ReportStatus.RECORDED, [lease(2)])

    outbox = await session.next_outbox()
    assert outbox.acks == [("reference", ReportStatus.RECORDED)]
    assert outbox.leases == [lease(2)]
    assert session.held_of([lease(1).execution_id, lease(2).execution_id]) == [lease(2).claim]


async def test_a_lease_that_follows_from_a_result_is_handed_back_if_the_session_has_closed() -> None:
    desk = Desk()
    session = desk.session()
    session.grant(2)
    delivered(session, lease(1))
    await session.next_outbox()
    session.reserve()
    session.close()

    session.settle(lease(1).claim, "reference", ReportStatus.RECORDED, [lease(2)])

    assert desk.handed_back == [lease(2).claim]
